"""Which rules strike a call, and how they are used up."""

from mediaq.embedded.standin.faults import Faults, Kind, Rule


def faults(*rules: Rule) -> Faults:
    book = Faults()
    book.rules.extend(rules)
    return book


def rule(kind: Kind, operation: str = "*", times: int | None = 1) -> Rule:
    return Rule(operation=operation, kind=kind, times=times)


def test_the_oldest_rule_goes_first_and_one_strikes_a_call() -> None:
    book = faults(rule("throttle"), rule("drop"))
    kinds = [[taken.kind for taken in book.take("DetectLabels")] for _ in range(3)]
    assert kinds == [["throttle"], ["drop"], []]


def test_delays_come_on_top() -> None:
    book = faults(rule("throttle"), rule("latency"), rule("drop"), rule("latency"))
    assert [taken.kind for taken in book.take("DetectLabels")] == ["throttle", "latency", "latency"]
    assert [left.kind for left in book.rules] == ["drop"]


def test_rules_strike_their_operation_only() -> None:
    book = faults(rule("drop", "DetectText"))
    assert book.take("DetectLabels") == []
    assert len(book.take("DetectText")) == 1


def test_rules_count_down_and_those_without_times_stay() -> None:
    book = faults(rule("drop", times=2), rule("throttle", times=None))
    kinds = [book.take("DetectLabels")[0].kind for _ in range(5)]
    assert kinds == ["drop", "drop", "throttle", "throttle", "throttle"]


def test_fail_job_waits_for_a_call_that_starts_a_job() -> None:
    book = faults(rule("fail-job"))
    assert book.take("GetLabelDetection") == []
    assert len(book.take("StartLabelDetection")) == 1
