"""The verdicts on a ledger, each from the smallest case that has it."""

import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaq.audit import Audit, Call, Entry, Sum, Verdict, compare, our_name
from mediaq.model import Certainty
from mediaq.pipelines import image
from mediaq.pipelines.comprehend import READINGS
from mediaq.pipelines.price_list import prices_on

IMAGE, TEXT = "rekognition.image", "comprehend.detect-entities"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BILLED, POSSIBLE = Certainty.BILLED, Certainty.POSSIBLY_BILLED


def entry(number: int, certainty: Certainty = BILLED, units: str = "1", *names: str, **rest: Any) -> Entry:
    """A cost row, priced as it should be."""
    item = rest.get("item", IMAGE)
    amount = rest.pop("amount", prices_on(NOON).charge_units(item, Decimal(units)).amount)
    defaults = {"job_id": "job", "operation": "detectLabels", "item": item}
    return Entry(
        id=number,
        units=Decimal(units),
        amount=amount,
        certainty=certainty,
        names=frozenset(names),
        **{**defaults, **rest},
    )


def call(name: str, units: str = "1", **rest: Any) -> Call:
    """A call that the provider bills, known to it by a name."""
    defaults = {"operation": "detectLabels", "item": IMAGE, "at": NOON, "resource": "s3://bucket/key"}
    return Call(id=f"id of {name}", units=Decimal(units), names=frozenset([name]), **{**defaults, **rest})


def verdicts(audit: Audit) -> list[tuple[str, str, Verdict]]:
    return [(line.item, line.operation, line.verdict) for line in audit.lines]


def test_nothing_called_and_nothing_recorded_is_exact() -> None:
    assert compare([], []) == Audit([], [])
    assert compare([], []).verdict is Verdict.EXACT


@pytest.mark.parametrize("names", [("a",), ()], ids=["by name", "by size"])
def test_a_row_a_call_is_exact(names: tuple[str, ...]) -> None:
    audit = compare([entry(1, BILLED, "1", *names)], [call("a")])
    assert verdicts(audit) == [(IMAGE, "detectLabels", Verdict.EXACT)]
    [line] = audit.lines
    assert line.truth == line.billed
    assert line.billed == Sum(1, Decimal(1), Decimal("0.001"))
    assert line.possible == Sum()
    assert audit.verdict.holds
    assert not audit.faults


@pytest.mark.parametrize("calls", [[], [call("lost")]], ids=["not billed", "billed"])
def test_a_call_whose_answer_was_lost_is_within_possibly_billed(calls: list[Call]) -> None:
    audit = compare([entry(1, BILLED, "1", "a"), entry(2, POSSIBLE)], [call("a"), *calls])
    assert verdicts(audit) == [(IMAGE, "detectLabels", Verdict.WITHIN)]
    assert audit.verdict.holds
    assert not audit.faults


def test_a_call_without_a_row_is_under_and_named() -> None:
    audit = compare([entry(1, BILLED, "1", "a")], [call("a"), call("b", resource="s3://bucket/missing")])
    assert audit.verdict is Verdict.UNDER
    assert not audit.verdict.holds
    [fault] = audit.faults
    assert fault == (
        "detectLabels: no cost row for 1 units of rekognition.image billed at 2026-11-02 12:00:00 "
        "(s3://bucket/missing, b)"
    )


@pytest.mark.parametrize("names", [("unheard-of",), ()], ids=["by name", "by size"])
def test_a_billed_row_without_a_call_is_unfounded_and_named(names: tuple[str, ...]) -> None:
    audit = compare([entry(1, BILLED, "1", "a"), entry(2, BILLED, "1", *names, job_id="j")], [call("a")])
    assert audit.verdict is Verdict.UNFOUNDED
    assert not audit.verdict.holds
    [fault] = audit.faults
    assert fault == (
        "detectLabels: cost row 2 of job j stands for no call of rekognition.image "
        f"({names[0] if names else 'no id'})"
    )


def test_a_name_that_the_provider_does_not_know_takes_no_other_call() -> None:
    """Sums would agree, the calls do not."""
    audit = compare([entry(1, BILLED, "1", "mine")], [call("another's")])
    assert audit.verdict is Verdict.UNDER
    assert len(audit.faults) == 2


def test_one_call_recorded_twice_is_unfounded() -> None:
    audit = compare([entry(1, BILLED, "1", "a"), entry(2, BILLED, "1", "a")], [call("a")])
    assert audit.verdict is Verdict.UNFOUNDED
    assert len(audit.faults) == 1


@pytest.mark.parametrize("names", [("a",), ()], ids=["by name", "by size"])
@pytest.mark.parametrize(("units", "verdict"), [("3", Verdict.UNDER), ("5", Verdict.UNFOUNDED)])
def test_a_row_of_other_units_than_its_call_is_named(
    units: str, verdict: Verdict, names: tuple[str, ...]
) -> None:
    of = {"item": TEXT, "operation": "detectEntities"}
    audit = compare([entry(1, BILLED, units, *names, **of)], [call("a", "4", **of)])
    assert verdicts(audit) == [(TEXT, "detectEntities", verdict)]
    [fault] = audit.faults
    assert fault == (
        f"detectEntities: cost row 1 of job job has {units} units for 4 units of {TEXT} billed at "
        "2026-11-02 12:00:00 (s3://bucket/key, a)"
    )


@pytest.mark.parametrize("names", [("a",), ()], ids=["by name", "by size"])
@pytest.mark.parametrize(
    ("units", "verdict"), [("3", Verdict.UNDER), ("4", Verdict.WITHIN), ("9", Verdict.WITHIN)]
)
def test_a_possibly_billed_row_is_an_upper_bound(
    units: str, verdict: Verdict, names: tuple[str, ...]
) -> None:
    audit = compare([entry(1, POSSIBLE, units, *names, item=TEXT)], [call("a", "4", item=TEXT)])
    assert audit.verdict is verdict


def test_a_possibly_billed_job_covers_its_own_call_alone() -> None:
    """A job that may still be running is known by its name; another's bill is not it."""
    audit = compare([entry(1, POSSIBLE, "9", "running")], [call("lost")])
    assert audit.verdict is Verdict.UNDER


def test_rows_cover_calls_of_their_own_operation_and_item_alone() -> None:
    row = entry(1, POSSIBLE, "9", operation="detectText")
    assert compare([row], [call("lost")]).verdict is Verdict.UNDER
    assert compare([row], [call("lost", operation="detectText")]).verdict is Verdict.WITHIN
    assert compare([row], [call("lost", operation="detectText", item=TEXT)]).verdict is Verdict.UNDER


def test_a_fault_of_one_operation_leaves_the_lines_of_others_exact() -> None:
    rows = [entry(1, BILLED, "1", "a"), entry(2, BILLED, "3", "b", item=TEXT, operation="detectEntities")]
    audit = compare(rows, [call("a")])
    assert verdicts(audit) == [
        (TEXT, "detectEntities", Verdict.UNFOUNDED),
        (IMAGE, "detectLabels", Verdict.EXACT),
    ]


@pytest.mark.parametrize(("amount", "verdict"), [("0.0009", Verdict.UNDER), ("0.0011", Verdict.UNFOUNDED)])
def test_a_price_that_is_not_the_lists_is_named(amount: str, verdict: Verdict) -> None:
    audit = compare([entry(1, BILLED, "1", "a", amount=Decimal(amount))], [call("a")])
    assert audit.verdict is verdict
    assert audit.faults == [f"rekognition.image: the ledger has ${amount} for calls that cost $0.001"]


def test_the_truth_is_priced_in_tiers_a_month_over_all_operations_of_an_item() -> None:
    """A million images at $0.001 and one at $0.0008, whichever operation it was that came last."""
    rows = [
        entry(1, BILLED, "999999", "a", operation="detectText"),
        entry(2, BILLED, "1", "b", amount=Decimal("0.0008")),
        entry(3, BILLED, "1", "c", operation="detectText", amount=Decimal("0.001")),
        entry(4, BILLED, "1", "d"),
    ]
    calls = [
        call("a", "999999", operation="detectText"),
        call("b", at=NOON + timedelta(seconds=1)),
        call("c", at=NOON + timedelta(seconds=2), operation="detectText"),
        call("d", at=NOON + timedelta(days=30)),
    ]
    audit = compare(rows, calls)
    assert audit.verdict is Verdict.EXACT
    assert sum(line.truth.amount for line in audit.lines) == Decimal("1000.0018")


def test_a_call_of_something_without_a_price_is_under() -> None:
    assert compare([], [call("a", item="nosuch")]).verdict is Verdict.UNDER


def test_the_providers_units_are_compared_as_the_ledger_keeps_them() -> None:
    minutes = "0.01666666666666666666666666667"
    of = {"item": "rekognition.video.labels"}
    assert compare([entry(1, BILLED, "0.016666667", "a", **of)], [call("a", minutes, **of)]).verdict.holds


def test_every_call_of_the_catalogue_is_known_by_its_operations_name() -> None:
    images = {
        operation.name: inspect.getclosurevars(operation.perform).nonlocals["method"]
        for operation in image.IMAGE.operations
    }
    named = [*images.items(), *((name, reading.method) for name, reading in READINGS.items())]
    assert len(named) == 8
    for ours, method in named:
        assert our_name("".join(word.capitalize() for word in method.split("_"))) == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("DetectLabels", "detectLabels"),
        ("RecognizeCelebrities", "recognizeCelebrities"),
        ("StartLabelDetection", "detectLabels"),
        ("StartTranscriptionJob", "transcribe"),
        ("DetectDominantLanguage", "detectLanguage"),
        ("InvokeModel", "generateEmbedding"),
    ],
)
def test_operations_have_our_names(theirs: str, ours: str) -> None:
    assert our_name(theirs) == ours


@given(st.lists(st.integers(1, 5)), st.lists(st.integers(1, 5)), st.lists(st.integers(1, 5)), st.data())
def test_nameless_rows_hold_where_they_can_stand_for_all_calls(
    answered: list[int], lost: list[int], unbilled: list[int], data: st.DataObject
) -> None:
    """Each answered call has a row of its size, each lost one a row that is no smaller."""
    certain = [entry(0, BILLED, str(units)) for units in answered]
    bounds = [entry(0, POSSIBLE, str(units + data.draw(st.integers(0, 3)))) for units in lost]
    bounds += [entry(0, POSSIBLE, str(units)) for units in unbilled]
    rows = data.draw(st.permutations(certain + bounds))
    calls = [call(str(i), str(units)) for i, units in enumerate([*answered, *lost])]
    audit = compare(rows, data.draw(st.permutations(calls)))
    assert audit.verdict is (Verdict.WITHIN if bounds else Verdict.EXACT)
    assert not audit.faults
