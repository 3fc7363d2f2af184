"""The record of jobs: accepted once, worked on by one owner at a time, ended once."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from store_kit import (
    CHARGE,
    JOB,
    OPERATIONS,
    PATIENCE,
    accepted,
    completed,
    failed,
    look,
    media_item,
    started,
)

from mediaq.errors import FenceLost, KeyTaken, NotYours
from mediaq.model import Job, JobStatus, Progress, Settled, TaskStatus
from mediaq.store import attempts, jobs, leases, operations
from mediaq.store.acceptance import accept
from mediaq.store.attempts import Ending
from mediaq.store.jobs import Wanted
from mediaq.store.pool import Store

pytest_plugins = ["store_fixtures"]

DELAYED = Ending(JobStatus.DELAYED, {}, reason="busy", trace="Traceback: busy", delay=30)
Write = Callable[[Store, Job], Awaitable[Any]]


async def count(store: Store, table: str) -> int:
    return int(await store.pool.fetchval(f"select count(*) from {table}"))  # noqa: S608 - our own names


async def age(store: Store, job: Job, column: str, interval: str) -> None:
    await store.pool.execute(
        f"update jobs set {column} = {column} - $2::text::interval where id = $1",  # noqa: S608
        job.id,
        interval,
    )


# Accepting


async def test_an_accepted_job_waits_with_all_its_operations_pending(store: Store) -> None:
    job = await accepted(store)
    assert (job.status, job.attempts, job.fence, job.deaths) == (JobStatus.WAITING, 0, 0, 0)
    assert job.request == JOB.request
    assert job.progress == Progress.of(OPERATIONS).as_json()
    assert await look(store, job) == job


async def test_an_unknown_media_item_is_made_for_the_caller(store: Store) -> None:
    await accepted(store, user_id="bob", media_item_id="film")
    item = await media_item(store, "film")
    assert (item["user_id"], item["processing_status"], item["metadata"]) == ("bob", "pending", {})


async def test_anothers_media_item_is_refused_and_nothing_is_left_behind(store: Store) -> None:
    await accepted(store)
    with pytest.raises(NotYours, match="photo belongs to another user"):
        await accepted(store, user_id="bob")
    assert await count(store, "jobs") == 1


async def test_of_two_who_claim_an_item_at_once_one_gets_it(store: Store) -> None:
    claims = [accepted(store, user_id=f"user-{number}") for number in range(6)]
    ended = await asyncio.gather(*claims, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["Job", *["NotYours"] * 5]


async def test_a_repeated_request_with_its_key_finds_the_first_job(store: Store) -> None:
    first = await accepted(store, idempotency_key="k", digest="d")
    again = attrs.evolve(JOB, id="again", idempotency_key="k", digest="d")
    assert await accept(store, again, PATIENCE) == (first, False)
    assert await count(store, "jobs") == 1


async def test_requests_with_one_key_at_once_make_one_job(store: Store) -> None:
    asked = [
        attrs.evolve(JOB, id=uuid.uuid4().hex, idempotency_key="k", digest="d", media_item_id=item)
        for item in ("photo", "photo", "other", "photo")
    ]
    ended = await asyncio.gather(*(accept(store, new, PATIENCE) for new in asked))
    assert len({job.id for job, _ in ended}) == sum(is_new for _, is_new in ended) == 1


async def test_another_request_with_a_used_key_is_refused_and_leaves_nothing_behind(store: Store) -> None:
    await accepted(store, idempotency_key="k", digest="d")
    with pytest.raises(KeyTaken, match="another request within the last 24 hours"):
        await accepted(store, idempotency_key="k", digest="other", media_item_id="film")
    assert (await count(store, "jobs"), await count(store, "media_items")) == (1, 1)


async def test_a_key_is_each_users_own(store: Store) -> None:
    await accepted(store, idempotency_key="k", digest="d")
    await accepted(store, idempotency_key="k", digest="other", user_id="bob", media_item_id="film")


async def test_a_key_is_free_again_after_a_day(store: Store) -> None:
    first = await accepted(store, idempotency_key="k", digest="d")
    await age(store, first, "accepted_at", "24 hours 1 second")
    second = await accepted(store, idempotency_key="k", digest="other")
    assert (await look(store, first)).id != second.id


# Attempts


async def test_each_start_takes_a_higher_fence_and_an_attempt(store: Store) -> None:
    job = await accepted(store)
    for attempt in (1, 2):
        job = await started(store, job)
        assert (job.status, job.fence, job.attempts, job.deaths) == (JobStatus.ACTIVE, attempt, attempt, 0)
        assert job.processed_at is not None
        await attempts.end(store, job, DELAYED)
    assert (await look(store, job)).attempts_left == 1


async def test_a_death_is_counted_and_its_attempt_goes_on(store: Store) -> None:
    first = await started(store)
    second = await started(store, first, owner="other")
    assert (second.fence, second.attempts, second.deaths) == (2, 1, 1)


async def test_of_many_starts_at_once_each_has_a_fence_of_its_own(store: Store) -> None:
    job = await accepted(store)
    ended = await asyncio.gather(*(started(store, job) for _ in range(5)))
    assert sorted(each.fence for each in ended) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("ending", [completed(), failed()])
async def test_a_closed_or_unknown_job_is_not_started(store: Store, ending: Ending) -> None:
    job = await started(store)
    await attempts.end(store, job, ending)
    assert await attempts.start(store, job.id, "worker", 60) is None
    assert await attempts.start(store, "unknown", "worker", 60) is None


WRITES: list[Write] = [
    lambda store, job: attempts.renew(store, job, 60),
    lambda store, job: attempts.write_progress(store, job, Progress.of(OPERATIONS)),
    lambda store, job: attempts.end(store, job, completed(labels=["forged"])),
    lambda store, job: operations.begin(store, job, "rekognition", "detectLabels", estimate=CHARGE),
]
NAMES = ["renew", "progress", "end", "begin"]


@pytest.mark.parametrize("write", WRITES, ids=NAMES)
async def test_an_old_owner_writes_nothing(store: Store, write: Write) -> None:
    old = await started(store)
    await started(store, old, owner="new")
    before = await look(store, old), await media_item(store), await count(store, "operation_runs")
    with pytest.raises(FenceLost, match=f"{old.id} is another worker's now"):
        await write(store, old)
    assert (await look(store, old), await media_item(store), await count(store, "operation_runs")) == before
    assert await count(store, "cost_entries") == 0


@pytest.mark.parametrize("write", WRITES, ids=NAMES)
async def test_a_closed_job_stays_as_it_was_closed(store: Store, write: Write) -> None:
    job = await started(store)
    await attempts.end(store, job, failed())
    before = await look(store, job)
    with pytest.raises(FenceLost):
        await write(store, job)
    assert await look(store, job) == before


async def test_progress_is_kept_with_the_job(store: Store) -> None:
    job = await started(store)
    moved = Progress.of(OPERATIONS).having("detectText", TaskStatus.COMPLETED)
    await attempts.write_progress(store, job, moved)
    assert (await look(store, job)).progress == moved.as_json()


async def test_a_completed_job_has_its_result_and_no_owner(store: Store) -> None:
    job = await started(store)
    await attempts.end(store, job, completed())
    ended = await look(store, job)
    assert (ended.status, ended.result, ended.failed_reason) == (JobStatus.COMPLETED, {"labels": []}, None)
    assert ended.finished_at is not None
    assert await store.pool.fetchval("select lease_owner from jobs") is None


async def test_a_delayed_job_is_due_later_and_keeps_each_trace(store: Store) -> None:
    job = await started(store)
    await attempts.end(store, job, DELAYED)
    delayed = await look(store, job)
    assert delayed.status is JobStatus.DELAYED
    assert delayed.finished_at is None
    assert delayed.due_at is not None
    assert delayed.processed_at is not None
    assert 25 < (delayed.due_at - delayed.processed_at).total_seconds() < 60
    again = await started(store, job)
    assert again.due_at is None
    await attempts.end(store, again, failed("gone"))
    assert (await look(store, job)).stacktrace == ["Traceback: busy", "Traceback: gone"]


async def test_an_interrupted_attempt_is_handed_back_unused(store: Store) -> None:
    job = await started(store)
    await attempts.release(store, job)
    back = await look(store, job)
    assert (back.status, back.attempts, back.deaths) == (JobStatus.WAITING, 0, 0)
    assert (await started(store, back)).attempts == 1


async def test_an_old_owner_hands_nothing_back(store: Store) -> None:
    old = await started(store)
    new = await started(store, old)
    await attempts.release(store, old)
    assert await look(store, old) == new


# Media items


async def test_an_item_shows_how_its_job_stands(store: Store) -> None:
    job = await started(store)
    shown = [(await media_item(store))["processing_status"]]
    for ending in (DELAYED, completed()):
        await attempts.end(store, job, ending)
        shown.append((await media_item(store))["processing_status"])
        job = await attempts.start(store, job.id, "worker", 60) or job
    assert shown == ["processing", "pending", "completed"]


async def test_an_item_waits_again_when_its_job_is_handed_back(store: Store) -> None:
    await attempts.release(store, await started(store))
    assert (await media_item(store))["processing_status"] == "pending"


async def test_an_item_of_two_jobs_is_done_when_the_last_one_is(store: Store) -> None:
    one, two = await started(store), await started(store)
    await attempts.end(store, one, completed())
    assert (await media_item(store))["processing_status"] == "processing"
    await attempts.end(store, two, failed())
    assert (await media_item(store))["processing_status"] == "failed"


async def test_an_item_whose_jobs_end_at_once_is_not_left_processing(store: Store) -> None:
    running = [await started(store) for _ in range(8)]
    endings = [completed(**{f"part{number}": number}) for number in range(8)]
    await asyncio.gather(*(attempts.end(store, *pair) for pair in zip(running, endings, strict=True)))
    item = await media_item(store)
    assert item["processing_status"] == "completed"
    assert {f"part{number}" for number in range(8)} <= set(item["metadata"])


async def test_a_new_job_opens_a_completed_item_again(store: Store) -> None:
    await attempts.end(store, await started(store), completed())
    await accepted(store)
    assert (await media_item(store))["processing_status"] == "pending"


async def test_results_of_jobs_join_with_the_cost_of_all_calls(store: Store) -> None:
    for part in ("labels", "text"):
        job = await started(store)
        run = await operations.begin(store, job, "rekognition", part, estimate=CHARGE)
        await operations.settle(store, run, Settled([part], CHARGE))
        await attempts.end(store, job, completed(**{part: [part]}))
    metadata = (await media_item(store))["metadata"]
    assert metadata.pop("processedAt").endswith("Z")
    assert metadata == {"labels": ["labels"], "text": ["text"], "processingCost": 0.002}


async def test_a_failed_job_adds_no_results_to_its_item(store: Store) -> None:
    await attempts.end(store, await started(store), failed())
    assert (await media_item(store))["metadata"] == {}


# Upkeep


async def test_purge_deletes_old_closed_jobs_and_keeps_their_costs(store: Store) -> None:
    old, young, still_open = [await started(store) for _ in range(3)]
    for job in (old, young):
        run = await operations.begin(store, job, "rekognition", "detectLabels", estimate=CHARGE)
        await operations.settle(store, run, Settled([], CHARGE))
        await attempts.end(store, job, completed())
    await age(store, old, "finished_at", "8 days")
    await age(store, still_open, "accepted_at", "8 days")
    assert await jobs.purge(store, days=7) == 1
    assert [await jobs.find(store, job.id) is None for job in (old, young, still_open)] == [
        True,
        False,
        False,
    ]
    assert [await count(store, table) for table in ("operation_runs", "cost_entries")] == [1, 2]


async def test_jobs_are_listed_newest_first_by_user_and_status(store: Store) -> None:
    mine = [await accepted(store) for _ in range(3)]
    theirs = await accepted(store, user_id="bob", media_item_id="film")
    await started(store, mine[0])

    async def listed(most: int = 10, **wanted: Any) -> list[str]:
        found = await jobs.list_jobs(store, Wanted(**wanted), most=most, seconds=PATIENCE)
        return [job.id for job in found]

    newest = [theirs.id, *(job.id for job in reversed(mine))]
    assert await listed() == newest
    assert await listed(most=2) == newest[:2]
    assert await listed(user_id="ann") == newest[1:]
    assert await listed(status=JobStatus.ACTIVE) == [mine[0].id]


async def test_a_lease_is_one_owners_until_it_runs_out_or_is_dropped(store: Store) -> None:
    held = [await leases.hold(store, "task", owner, 60) for owner in ("a", "b", "a")]
    assert held == [True, False, True]
    await leases.drop(store, "task", "b")
    assert not await leases.hold(store, "task", "b", 60)
    await leases.drop(store, "task", "a")
    assert await leases.hold(store, "task", "b", 0.001)
    await asyncio.sleep(0.01)
    assert await leases.hold(store, "task", "a", 60)
