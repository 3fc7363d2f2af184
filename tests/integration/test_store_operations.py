"""The record of calls: possibly billed before the answer, billed after it, one result an operation."""

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import asyncpg
import attrs
import pytest
from store_kit import CHARGE, accepted, all_wait, completed, failed, started

from mediaq.errors import (
    FenceLost,
    NoRoom,
    ProviderError,
    ProviderJobFailed,
    Refused,
    TryAgain,
    Unanswered,
)
from mediaq.model import Certainty, Charge, Job, Settled, Vector
from mediaq.settings import Database
from mediaq.store import attempts, jobs, operations
from mediaq.store import costs as ledger_costs
from mediaq.store.operations import Earlier, Outcome, Run, UnderWay
from mediaq.store.pool import Store, open_store

pytest_plugins = ["store_fixtures"]

DEAR = Charge("rekognition.video.labels", Decimal("1.000016667"), "minute", Decimal("0.10"), "2026-09")
BUSY = TryAgain("Rekognition is busy", "ThrottlingException")
LOST = Unanswered("Rekognition gave no answer", "ReadTimeoutError")
NO_ROOM = NoRoom("Rekognition has no room", "LimitExceededException")
BROKEN = ProviderJobFailed("Transcribe reports: internal error", "JobFailed")
REFUSED = Refused("Rekognition refused: a bad image", "InvalidImageFormatException")


async def begun(store: Store, job: Job, token: str | None = None, estimate: Charge | None = CHARGE) -> Run:
    return await operations.begin(store, job, "rekognition", "detectLabels", estimate=estimate, token=token)


async def ledger(store: Store) -> list[tuple[str, Decimal]]:
    rows = await store.pool.fetch("select certainty, amount from cost_entries order by id")
    return [(row["certainty"], row["amount"]) for row in rows]


async def states(store: Store) -> list[str]:
    return [row["state"] for row in await store.pool.fetch("select state from operation_runs order by id")]


async def results(store: Store, job: Job) -> dict[str, Any]:
    return {name: found.result for name, found in (await operations.outcomes(store, job)).items()}


async def test_a_call_is_possibly_billed_until_its_answer_is_on_record(store: Store) -> None:
    job = await started(store)
    run = await begun(store, job)
    assert await ledger(store) == [("possibly_billed", Decimal("0.001"))]
    assert await operations.settle(store, run, Settled([{"Name": "Cat"}], CHARGE))
    assert await ledger(store) == [("billed", Decimal("0.001"))]
    assert await results(store, job) == {"detectLabels": [{"Name": "Cat"}]}


async def test_a_cost_row_says_who_pays_for_what_at_which_price(store: Store) -> None:
    run = await begun(store, await started(store))
    await operations.settle(store, run, Settled([], DEAR, request_id="an-answer"))
    [row] = map(dict, await store.pool.fetch("select * from cost_entries"))
    assert row.pop("created_at") is not None
    assert row.pop("id") > 0
    assert row == {
        "run_id": run.id,
        "user_id": "ann",
        "cost_center": "team-a",
        "media_item_id": "photo",
        "job_id": run.job.id,
        "service": "rekognition",
        "operation": "detectLabels",
        "item": "rekognition.video.labels",
        "units": Decimal("1.000016667"),
        "unit": "minute",
        "unit_price": Decimal("0.10"),
        "price_version": "2026-09",
        # 1.000016667 minutes x 0.10: no digit is lost.
        "amount": Decimal("0.1000016667"),
        "certainty": "billed",
        "request_id": "an-answer",
    }


async def test_a_call_that_costs_nothing_has_no_cost_row(store: Store) -> None:
    run = await begun(store, await started(store), estimate=None)
    await operations.settle(store, run, Settled([]))
    assert (await ledger(store), await states(store)) == ([], ["succeeded"])


async def test_a_result_that_was_reused_is_in_the_ledger_for_nothing(store: Store) -> None:
    run = await begun(store, await started(store), estimate=None)
    unused = attrs.evolve(CHARGE, units=Decimal(0))
    await operations.settle(store, run, Settled([], unused), Certainty.REUSED)
    assert await ledger(store) == [("reused", Decimal(0))]


@pytest.mark.parametrize(
    ("error", "state"),
    [(BUSY, "failed"), (NO_ROOM, "failed"), (BROKEN, "job_failed"), (REFUSED, "refused")],
    ids=lambda value: getattr(value, "code", value),
)
async def test_a_call_answered_by_an_error_is_not_in_the_ledger(
    store: Store, error: ProviderError, state: str
) -> None:
    run = await begun(store, await started(store))
    await operations.fail(store, run, error)
    assert (await ledger(store), await states(store)) == ([], [state])
    assert await store.pool.fetchval("select error from operation_runs") == str(error)


async def test_a_call_whose_answer_was_lost_stays_possibly_billed(store: Store) -> None:
    run = await begun(store, await started(store))
    await operations.fail(store, run, LOST)
    assert (await ledger(store), await states(store)) == (
        [("possibly_billed", Decimal("0.001"))],
        ["unanswered"],
    )


async def test_every_call_without_a_token_has_a_row_of_its_own(store: Store) -> None:
    job = await started(store)
    await operations.fail(store, await begun(store, job), LOST)
    await operations.settle(store, await begun(store, job), Settled([], CHARGE))
    assert [certainty for certainty, _ in await ledger(store)] == ["possibly_billed", "billed"]


async def test_a_call_with_a_token_is_adopted_by_the_next_owner_and_billed_once(store: Store) -> None:
    first = await begun(store, await started(store), token="t")
    second = await begun(store, await started(store, first.job), token="t")
    assert (first.adopted, second.adopted, second.id) == (False, True, first.id)
    await operations.settle(store, second, Settled([], CHARGE))
    assert await ledger(store) == [("billed", Decimal("0.001"))]


@pytest.mark.parametrize("error", [BUSY, LOST, NO_ROOM], ids=lambda error: error.code)
async def test_an_adopted_call_that_fails_for_now_stays_possibly_billed(
    store: Store, error: ProviderError
) -> None:
    """Whatever this attempt met, the provider may be running what the earlier one started."""
    job = (await begun(store, await started(store), token="t")).job
    await operations.fail(store, await begun(store, job, token="t"), error)
    assert [certainty for certainty, _ in await ledger(store)] == ["possibly_billed"]
    assert (await begun(store, job, token="t")).adopted


async def test_a_provider_job_that_runs_stays_possibly_billed_when_looking_at_it_fails(store: Store) -> None:
    run = await begun(store, await started(store), token="t")
    await operations.name_provider_job(store, run, "job-1")
    await operations.fail(store, run, BUSY)
    assert (await ledger(store), await states(store)) == (
        [("possibly_billed", Decimal("0.001"))],
        ["unanswered"],
    )
    assert (await begun(store, run.job, token="t")).adopted


async def test_a_token_whose_start_failed_begins_a_new_record(store: Store) -> None:
    run = await begun(store, await started(store), token="t")
    await operations.fail(store, run, BUSY)
    again = await begun(store, run.job, token="t")
    assert (again.adopted, again.id == run.id) == (False, False)


@pytest.mark.parametrize(
    ("error", "generation"), [(BUSY, 0), (LOST, 0), (NO_ROOM, 0), (BROKEN, 1), (REFUSED, 1)]
)
async def test_the_generation_rises_only_after_the_provider_said_that_the_job_failed(
    store: Store, error: ProviderError, generation: int
) -> None:
    run = await begun(store, await started(store), token="t")
    await operations.fail(store, run, error)
    assert await operations.generation(store, run.job, "detectLabels") == generation
    assert await operations.generation(store, run.job, "detectText") == 0


async def test_a_late_second_answer_is_billed_and_kept_as_late(store: Store) -> None:
    old = await begun(store, await started(store))
    new = await begun(store, await started(store, old.job))
    assert await operations.settle(store, new, Settled("first", CHARGE, [Vector("m", [1.0], {"by": "new"})]))
    assert not await operations.settle(store, old, Settled("second", CHARGE, [Vector("m", [2.0], {})]))
    assert await states(store) == ["late", "succeeded"]
    assert await results(store, old.job) == {"detectLabels": "first"}
    assert [certainty for certainty, _ in await ledger(store)] == ["billed", "billed"]
    assert await store.pool.fetchval("select metadata from embeddings") == {"by": "new"}


async def test_an_answer_is_accepted_from_an_old_owner_and_after_the_job_was_closed(store: Store) -> None:
    old = await begun(store, await started(store))
    new = await started(store, old.job)
    await attempts.end(store, new, failed())
    assert await operations.settle(store, old, Settled("late", CHARGE))
    assert [certainty for certainty, _ in await ledger(store)] == ["billed"]


async def test_one_result_stands_when_answers_come_to_several_processes_at_once(
    store: Store, migrated_url: str
) -> None:
    job = await started(store)
    runs = [await begun(store, job) for _ in range(3)]
    async with AsyncExitStack() as stack, store.transaction() as connection:
        stores = [await stack.enter_async_context(open_store(Database(url=migrated_url))) for _ in runs]
        # Holds every settlement in its middle, so that they meet.
        await connection.execute("lock table cost_entries in share mode")
        settling = [
            asyncio.create_task(operations.settle(each, run, Settled(number, CHARGE)))
            for number, (each, run) in enumerate(zip(stores, runs, strict=True))
        ]
        await all_wait(store, len(runs))
        await connection.execute("commit; begin")
        stands = await asyncio.gather(*settling)
    assert sum(stands) == 1
    assert await results(store, job) == {"detectLabels": stands.index(True)}


async def test_an_old_owner_begins_no_call(store: Store) -> None:
    old = await started(store)
    await started(store, old)
    with pytest.raises(FenceLost):
        await begun(store, old, token="t")
    assert (await states(store), await ledger(store)) == ([], [])


async def test_what_a_provider_refused_is_on_record_for_good(store: Store) -> None:
    run = await begun(store, await started(store))
    await operations.fail(store, run, REFUSED)
    assert await operations.outcomes(store, run.job) == {
        "detectLabels": Outcome("detectLabels", None, str(REFUSED))
    }


@pytest.mark.parametrize("error", [BUSY, LOST, NO_ROOM, BROKEN], ids=lambda error: type(error).__name__)
async def test_what_failed_for_now_is_not_on_record_for_good(store: Store, error: ProviderError) -> None:
    run = await begun(store, await started(store))
    await operations.fail(store, run, error)
    assert await operations.outcomes(store, run.job) == {}


async def test_result_cost_and_vector_stand_together_or_not_at_all(store: Store) -> None:
    run = await begun(store, await started(store))
    with pytest.raises(asyncpg.PostgresError):
        await operations.settle(store, run, Settled([], CHARGE, [Vector("m", [], {})]))
    assert (await states(store), await ledger(store)) == (
        ["started"],
        [("possibly_billed", Decimal("0.001"))],
    )


async def embedded(store: Store, item: str, values: list[float], **metadata: Any) -> None:
    job = await started(store, await accepted(store, media_item_id=item))
    run = await begun(store, job)
    await operations.settle(store, run, Settled([], CHARGE, [Vector("titan", values, metadata)]))
    await attempts.end(store, job, completed())


async def test_the_nearest_vector_is_found_by_cosine(store: Store) -> None:
    for item, direction in (("east", 0), ("north", 1), ("up", 2)):
        await embedded(store, item, [10.0 * (place == direction) for place in range(256)])
    query = (
        "select media_item_id from embeddings where dimensions = 256"
        " order by vector::vector(256) <=> $1 limit 2"
    )
    near_north = [0.1, 0.9, *[0.0] * 254]
    found = [row["media_item_id"] for row in await store.pool.fetch(query, near_north)]
    assert found == ["north", "east"]


async def test_a_newer_vector_replaces_the_older_of_its_model_and_length(store: Store) -> None:
    await embedded(store, "photo", [1.0, 2.0], take=1)
    await embedded(store, "photo", [3.0, 4.0], take=2)
    await embedded(store, "photo", [5.0, 6.0, 7.0], take=3)
    rows = await store.pool.fetch("select dimensions, vector, metadata from embeddings order by dimensions")
    assert [(row["dimensions"], row["vector"].to_list(), row["metadata"]["take"]) for row in rows] == [
        (2, [3.0, 4.0], 2),
        (3, [5.0, 6.0, 7.0], 3),
    ]


async def test_nul_characters_survive_as_replacement_characters(store: Store) -> None:
    job = await started(store)
    answer = [{"Te\0xt": "a\0b", "deep": {"er": ["\0"]}}, r"\u0000", 1.5, None]
    await operations.settle(store, await begun(store, job), Settled(answer, CHARGE))
    assert await results(store, job) == {
        "detectLabels": [{"Te\ufffdxt": "a\ufffdb", "deep": {"er": ["\ufffd"]}}, r"\u0000", 1.5, None]
    }


async def test_costs_are_listed_by_call_and_summed_by_service_and_certainty(store: Store) -> None:
    job = await started(store)
    first, second, third = [await begun(store, job) for _ in range(3)]
    await operations.settle(store, first, Settled([], CHARGE))
    await operations.settle(store, second, Settled([], CHARGE))
    await operations.fail(store, third, LOST)
    found = await jobs.find_record(store, job.id, seconds=5)
    assert found is not None
    assert [row["certainty"] for row in found.costs] == ["billed", "billed", "possibly_billed"]
    for user in ("ann", None):
        sums = await ledger_costs.summary(store, user)
        assert [(row["certainty"], row["calls"], row["units"], row["amount"]) for row in sums] == [
            ("billed", 2, Decimal(2), Decimal("0.002")),
            ("possibly_billed", 1, Decimal(1), Decimal("0.001")),
        ]
    assert await ledger_costs.summary(store, "bob") == []


async def test_an_older_owner_cannot_fail_a_run_that_another_has_adopted(store: Store) -> None:
    """Neither the adopted run's result nor, before that, its cost row."""
    old = await started(store)
    run = await begun(store, old, token="job-1-transcribe-0")
    new = await started(store, old)
    adopted = await begun(store, new, token="job-1-transcribe-0")

    await operations.fail(store, run, BUSY)
    assert await ledger(store) == [("possibly_billed", CHARGE.amount)]
    assert await operations.settle(store, adopted, Settled("transcript", CHARGE))
    await operations.fail(store, run, REFUSED)
    assert await results(store, new) == {"detectLabels": "transcript"}
    assert await ledger(store) == [("billed", CHARGE.amount)]


async def test_a_result_counts_though_another_call_was_refused(store: Store) -> None:
    job = await started(store)
    slow, refused = await begun(store, job), await begun(store, job)
    await operations.fail(store, refused, REFUSED)
    await operations.settle(store, slow, Settled("late but paid for", CHARGE))
    [outcome] = (await operations.outcomes(store, job)).values()
    assert (outcome.result, outcome.error) == ("late but paid for", None)


async def begun_unless_known(store: Store, fingerprint: str = "the same") -> Run | Earlier | UnderWay:
    job = await started(store, await accepted(store))
    return await operations.begin_unless_known(
        store,
        job,
        "rekognition",
        "detectLabels",
        estimate=CHARGE,
        seconds=60,
        fingerprint=fingerprint,
        age=3600,
    )


async def test_of_several_processes_with_the_same_call_at_once_one_begins_it(
    store: Store, migrated_url: str
) -> None:
    async with AsyncExitStack() as stack, store.transaction() as connection:
        stores = [
            await stack.enter_async_context(open_store(Database(url=migrated_url, pool_size=2)))
            for _ in range(3)
        ]
        # Holds every beginning in its middle, so that they meet.
        await connection.execute("lock table operation_runs in share mode")
        beginning = [asyncio.create_task(begun_unless_known(each)) for each in stores]
        await all_wait(store, len(stores))
        await connection.execute("commit; begin")
        begun = await asyncio.gather(*beginning)
    assert sum(isinstance(one, Run) for one in begun) == 1
    assert sum(isinstance(one, UnderWay) and 0 < one.seconds <= 60 for one in begun) == 2
    assert len(await ledger(store)) == 1


async def test_a_call_that_was_answered_is_known_until_it_is_too_old_or_gone(store: Store) -> None:
    run = await begun_unless_known(store)
    assert isinstance(run, Run)
    await operations.settle(store, run, Settled(["Cat"], CHARGE))
    assert await begun_unless_known(store) == Earlier(["Cat"])
    assert isinstance(await begun_unless_known(store, "another"), Run)
    await store.pool.execute("update operation_runs set finished_at = now() - interval '2 hours'")
    again = await begun_unless_known(store)
    assert isinstance(again, Run)
    await operations.settle(store, again, Settled(["Dog"], CHARGE))
    await store.pool.execute("delete from jobs")
    assert isinstance(await begun_unless_known(store), Run)


@pytest.mark.parametrize("error", [BUSY, LOST, REFUSED], ids=lambda error: type(error).__name__)
async def test_a_call_that_failed_or_is_past_its_deadline_is_begun_again(
    store: Store, error: ProviderError
) -> None:
    run = await begun_unless_known(store)
    assert isinstance(run, Run)
    assert isinstance(await begun_unless_known(store), UnderWay)
    await operations.fail(store, run, error)
    assert isinstance(await begun_unless_known(store), Run)
    await store.pool.execute("update operation_runs set deadline = now()")
    assert isinstance(await begun_unless_known(store), Run)
