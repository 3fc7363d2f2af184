"""Operations of several calls: each answer is kept and paid for once, whatever cuts the attempt short."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from attrs import field, frozen
from store_kit import CHARGE, accepted, started

from mediaq.aws.limits import limit_of
from mediaq.errors import FenceLost, OnRecord, Refused, TryAgain
from mediaq.model import Job, Settled, TaskStatus, Vector
from mediaq.pipelines.clock import Clock
from mediaq.pipelines.operation import Work
from mediaq.pipelines.parts import AT_ONCE, Part, paid_in_parts, part_key
from mediaq.resources import Resources
from mediaq.store import operations
from mediaq.store.pool import Store

LIMIT = limit_of("rekognition", "detect_labels")
REFUSED = Refused("the provider refused: a bad passage", "InvalidRequestException")
PAID = ("billed", CHARGE.amount)
BUSY = TryAgain("the provider is busy", "ThrottlingException")

WorkFor = Callable[[Job], Work]


@frozen
class Provider:
    """Answers a call with its content, unless it is told to fail or to wait."""

    asked: list[str] = field(factory=list)
    failures: dict[str, Exception] = field(factory=dict)
    gates: dict[str, asyncio.Event] = field(factory=dict)

    def part(self, number: int, content: str) -> Part:
        async def make() -> Settled:
            self.asked.append(content)
            if content in self.gates:
                await self.gates[content].wait()
            if content in self.failures:
                raise self.failures[content]
            return Settled(content.upper(), CHARGE, request_id=f"answer-{content}")

        return Part(part_key(number, content.encode()), CHARGE, make)

    def parts(self, contents: str) -> list[Part]:
        return [self.part(number, content) for number, content in enumerate(contents)]

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.asked) < count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


@pytest.fixture
def told() -> list[tuple[TaskStatus, str]]:
    """What was reported of the operation."""
    return []


@pytest.fixture
def work_for(resources: Resources, told: list[tuple[TaskStatus, str]]) -> WorkFor:
    """Makes the work on an operation of a started job."""

    def work_for(job: Job) -> Work:
        return Work(
            job=job,
            operation="detectLabels",
            tools=resources.tools,
            results={},
            patience=0,
            report=lambda status, message: told.append((status, message)),
            clock=Clock(60),
            shared={},
        )

    return work_for


def joined(answers: Sequence[Any]) -> Settled:
    return Settled("".join(answers))


async def perform(work: Work, parts: Sequence[Part]) -> Any:
    return await paid_in_parts(work, "rekognition", LIMIT, parts, joined, noun="passage")


async def ledger(store: Store) -> list[tuple[str, Decimal]]:
    rows = await store.pool.fetch("select certainty, amount from cost_entries order by id")
    return [(row["certainty"], row["amount"]) for row in rows]


async def states(store: Store) -> dict[str, int]:
    rows = await store.pool.fetch("select state, count(*) from operation_runs group by state")
    return {row["state"]: row["count"] for row in rows}


async def until_settled(store: Store) -> None:
    """Waits until what was under way when an operation failed is seen through to its record."""
    async with asyncio.timeout(20):
        while "started" in await states(store):  # noqa: ASYNC110 - Postgres has no event for it
            await asyncio.sleep(0.01)


async def test_the_answers_are_joined_in_the_order_of_the_parts_and_paid_for_each(
    store: Store, work_for: WorkFor, told: list[tuple[TaskStatus, str]]
) -> None:
    provider, job = Provider(), await started(store)
    assert await perform(work_for(job), provider.parts("abcdefghijkl")) == "ABCDEFGHIJKL"
    assert await ledger(store) == [PAID] * 12
    assert await states(store) == {"part_succeeded": 12, "succeeded": 1}
    assert (await operations.outcomes(store, job))["detectLabels"].result == "ABCDEFGHIJKL"
    assert {row["request_id"] for row in await store.pool.fetch("select request_id from cost_entries")} == {
        f"answer-{content}" for content in "abcdefghijkl"
    }
    assert told == [(TaskStatus.PROCESSING, f"passage {count} of 12") for count in range(1, 13)]


async def test_one_part_alone_is_one_call_on_record(store: Store, work_for: WorkFor) -> None:
    job = await started(store)
    assert await perform(work_for(job), Provider().parts("a")) == "A"
    assert (await states(store), await ledger(store)) == ({"succeeded": 1}, [PAID])
    assert await operations.parts(store, job, "detectLabels") == {}


async def test_a_few_calls_are_under_way_at_once(store: Store, work_for: WorkFor) -> None:
    gate = asyncio.Event()
    provider, job = Provider(gates={"a": gate}), await started(store)
    parts = [provider.part(number, "a") for number in range(5 * AT_ONCE)]
    working = asyncio.create_task(perform(work_for(job), parts))
    await provider.until_asked(AT_ONCE)
    begun = await states(store)
    gate.set()
    await working
    assert begun == {"started": AT_ONCE}
    assert len(provider.asked) == len(parts)


async def test_a_later_attempt_asks_only_for_what_is_not_on_record(
    store: Store, work_for: WorkFor, told: list[tuple[TaskStatus, str]]
) -> None:
    provider = Provider(failures={"h": BUSY})
    job = await started(store)
    with pytest.raises(TryAgain):
        await perform(work_for(job), provider.parts("abcdefgh"))
    await until_settled(store)
    assert await operations.outcomes(store, job) == {}
    before = set(await operations.parts(store, job, "detectLabels"))
    provider.failures.clear()
    provider.asked.clear()
    again = await started(store, job)
    told.clear()
    assert await perform(work_for(again), provider.parts("abcdefgh")) == "ABCDEFGH"
    assert len(provider.asked) == 8 - len(before)
    assert not before & {part_key("abcdefgh".index(content), content.encode()) for content in provider.asked}
    assert told[0] == (TaskStatus.PROCESSING, f"passage {len(before) + 1} of 8")
    assert await ledger(store) == [PAID] * 8


async def test_an_attempt_that_is_cut_short_pays_for_no_part_twice(store: Store, work_for: WorkFor) -> None:
    """What was under way when it was cut is seen through, and counts for the attempt after it."""
    gate = asyncio.Event()
    provider, job = Provider(gates={"e": gate, "f": gate}), await started(store)
    working = asyncio.create_task(perform(work_for(job), provider.parts("abcdefgh")))
    await provider.until_asked(8)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    again = await started(store, job)
    assert await operations.seconds_to_answer(store, again, "detectLabels") > 0
    gate.set()
    async with asyncio.timeout(20):
        while await operations.seconds_to_answer(store, again, "detectLabels") > 0:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert await perform(work_for(again), provider.parts("abcdefgh")) == "ABCDEFGH"
    assert sorted(provider.asked) == list("abcdefgh")
    assert await ledger(store) == [PAID] * 8


async def test_a_late_answer_of_an_earlier_owner_counts(store: Store, work_for: WorkFor) -> None:
    provider, old = Provider(), await started(store)
    first, second = provider.parts("ab")
    late = await operations.begin(
        store, old, "rekognition", "detectLabels", estimate=CHARGE, seconds=60, part=second.key
    )
    new = await started(store, old)
    assert await operations.settle(store, late, Settled("late", CHARGE))
    assert await perform(work_for(new), [first, second]) == "Alate"
    assert (provider.asked, await ledger(store)) == (["a"], [PAID] * 2)


async def test_what_is_answered_while_the_next_owner_begins_is_taken_and_not_asked_for(store: Store) -> None:
    """Of a part its own answer; where the whole is on record, that, whatever part was to be begun."""

    async def begun(job: Job, part: str = "") -> operations.Run:
        return await operations.begin(store, job, "rekognition", "detectLabels", estimate=CHARGE, part=part)

    old = await started(store)
    late, whole = await begun(old, "0:a"), await begun(old)
    new = await started(store, old)
    await operations.settle(store, late, Settled("A", CHARGE))
    with pytest.raises(OnRecord) as of_part:
        await begun(new, "0:a")
    other = await begun(new, "1:b")
    await operations.settle(store, other, Settled("B", CHARGE))
    await operations.settle(store, whole, Settled("AB", CHARGE))
    for part in ("0:a", "2:c", ""):
        with pytest.raises(OnRecord) as of_whole:
            await begun(new, part)
        assert (of_whole.value.result, of_whole.value.part) == ("AB", "")
    assert (of_part.value.result, of_part.value.part) == ("A", "0:a")
    assert await ledger(store) == [PAID] * 3


async def test_a_part_that_is_answered_late_counts_though_the_next_owner_has_read_what_is_on_record(
    store: Store, work_for: WorkFor
) -> None:
    gate = asyncio.Event()
    provider, old = Provider(gates={"a": gate}), await started(store)
    parts = [provider.part(number, "a") for number in range(AT_ONCE)] + [provider.part(AT_ONCE, "b")]
    late = await operations.begin(
        store, old, "rekognition", "detectLabels", estimate=CHARGE, part=parts[-1].key
    )
    new = await started(store, old)
    working = asyncio.create_task(perform(work_for(new), parts))
    await provider.until_asked(AT_ONCE)
    await operations.settle(store, late, Settled("late", CHARGE))
    gate.set()
    assert await working == "A" * AT_ONCE + "late"
    assert "b" not in provider.asked
    assert await ledger(store) == [PAID] * len(parts)


async def test_of_two_answers_to_one_part_the_first_counts_and_both_are_billed(
    store: Store,
) -> None:
    job = await started(store)
    runs = [
        await operations.begin(store, job, "rekognition", "detectLabels", estimate=CHARGE, part="0:x")
        for _ in range(2)
    ]
    stands = await asyncio.gather(
        *(operations.settle(store, run, Settled(number, CHARGE)) for number, run in enumerate(runs))
    )
    assert sorted(stands) == [False, True]
    assert await states(store) == {"part_succeeded": 1, "late": 1}
    assert await operations.parts(store, job, "detectLabels") == {"0:x": stands.index(True)}
    assert await ledger(store) == [PAID] * 2


async def test_another_content_at_the_same_place_is_asked_for(store: Store, work_for: WorkFor) -> None:
    provider, job = Provider(failures={"c": BUSY}), await started(store)
    with pytest.raises(TryAgain):
        await perform(work_for(job), provider.parts("abc"))
    again = await started(store, job)
    assert await perform(work_for(again), provider.parts("axy")) == "AXY"


async def test_what_the_provider_will_never_accept_ends_the_operation_for_good(
    store: Store, work_for: WorkFor
) -> None:
    """No further part is begun, and what was paid for stays on record and in the ledger."""
    provider, job = Provider(failures={"a": REFUSED}), await started(store)
    with pytest.raises(Refused):
        await perform(work_for(job), [provider.part(0, "a"), *(provider.part(n, "b") for n in range(1, 90))])
    assert len(provider.asked) < 3 * AT_ONCE
    assert (await operations.outcomes(store, job))["detectLabels"].error == str(REFUSED)


async def test_an_owner_that_lost_its_fence_begins_no_further_part(store: Store, work_for: WorkFor) -> None:
    provider, old = Provider(), await started(store)
    await started(store, old)
    with pytest.raises(FenceLost):
        await perform(work_for(old), provider.parts("abc"))
    assert (provider.asked, await ledger(store)) == ([], [])


async def test_a_part_keeps_no_vector_and_the_whole_one_does(store: Store, work_for: WorkFor) -> None:
    def mean(answers: Sequence[Any]) -> Settled:
        return Settled("".join(answers), vectors=[Vector("m", [1.0, 2.0], {})])

    for count in ("a", "ab"):
        job = await started(store, await accepted(store, media_item_id=f"item-{count}"))
        await paid_in_parts(work_for(job), "rekognition", LIMIT, Provider().parts(count), mean, noun="chunk")
    items = [row["media_item_id"] for row in await store.pool.fetch("select * from embeddings order by 1")]
    assert items == ["item-a", "item-ab"]
