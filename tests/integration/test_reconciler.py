"""What Redis lost is pushed again, once; what runs, waits or is done is left alone: on real servers."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from crossing import Crossing
from house import StandIn, work
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue as RQQueue
from rq.executions import Execution
from rq.job import Job as RQJob
from store_kit import JOB, accepted, completed, lapse, look, started

from mediaq import missing
from mediaq.dispatch import push
from mediaq.embedded import ports
from mediaq.model import Job, JobStatus
from mediaq.queue import keys
from mediaq.reconciler import Reconciler
from mediaq.resources import Resources, open_resources
from mediaq.settings import load_settings
from mediaq.store import attempts
from mediaq.upkeep import reconciling

QUEUE = JOB.type
TEXT = {
    "mediaItemId": "photo",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}
TEXT_QUEUE = "text-analysis"
TEXT_JOB: dict[str, Any] = {"request": TEXT, "operations": ("detectSentiment",)}
LOST_AFTER = 0.5
LONG_AGO = "2026-01-01T00:00:00.000000Z"


@pytest.fixture
def overrides() -> dict[str, str]:
    return {
        "MEDIAQ_UPKEEP__BATCH": "50",
        "MEDIAQ_UPKEEP__INTERVAL": "0.5",
        "MEDIAQ_UPKEEP__LOST_AFTER": str(LOST_AFTER),
        "MEDIAQ_DATABASE__POOL_SIZE": "3",
    }


@pytest.fixture
def reconciler(resources: Resources) -> Reconciler:
    return Reconciler(resources, "reconciler of the test")


@asynccontextmanager
async def another(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Reconciler, Crossing]]:
    """A reconciler of another process, as it were, and its way to Redis."""
    async with Crossing(resources.settings.redis.url) as crossing:
        monkeypatch.setenv("REDIS_URL", crossing.url)
        settings = load_settings()
        monkeypatch.setenv("REDIS_URL", resources.settings.redis.url)
        async with open_resources(settings) as own:
            yield Reconciler(own, "another reconciler"), crossing


async def age(resources: Resources) -> None:
    """Has all jobs accepted some seconds earlier: those of the last moment are not looked at."""
    await resources.store.pool.execute("update jobs set accepted_at = accepted_at - interval '3 s'")


async def accept(resources: Resources, **changes: Any) -> Job:
    job = await accepted(resources.store, **changes)
    await age(resources)
    return job


async def accept_many(resources: Resources, number: int) -> list[str]:
    """Puts jobs on record, as the service does one after the other; returns their ids in that order."""
    first = await accept(resources)
    ids = [first.id, *(uuid.uuid4().hex for _ in range(number - 1))]
    await resources.store.pool.execute(
        "insert into jobs (id, type, user_id, media_item_id, request, progress, max_attempts, accepted_at)"
        " select other.id, type, user_id, media_item_id, request, progress, max_attempts,"
        "        accepted_at + n * interval '1 us'"
        " from jobs, unnest($1::text[]) with ordinality as other (id, n)",
        ids[1:],
    )
    return ids


async def waiting(resources: Resources, queue: str = QUEUE) -> list[str]:
    """The ids in a queue's list, the next one first."""
    found: list[bytes] = await resources.redis.lrange(keys.queue(queue), 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in found]


async def take_out(resources: Resources, *job_ids: str) -> None:
    """Takes jobs out of their list, as a stock worker of several queues does before it starts them."""
    for job_id in job_ids:
        assert await resources.redis.lrem(keys.queue(QUEUE), 0, job_id) == 1


async def set_in_rq(resources: Resources, job_id: str, **fields: str) -> None:
    for name, value in fields.items():
        await resources.redis.hset(keys.job(job_id), name, value)


async def fail_in_rq(resources: Resources, job: Job, function: str = "foreign.fail") -> None:
    """Has stock RQ run a function under the job's id, for the last time."""
    await resources.redis.delete(keys.job(job.id))
    with Redis.from_url(resources.settings.redis.url) as redis:
        RQQueue(QUEUE, connection=redis).enqueue(function, job_id=job.id)
    await work(resources.settings, QUEUE, most=1)
    assert await waiting(resources) == []


async def until_lost(reconciler: Reconciler, resources: Resources, count: int) -> float:
    """Makes rounds until so many jobs wait; returns the seconds that took."""
    begun = time.monotonic()
    async with asyncio.timeout(20):
        while len(await waiting(resources)) < count:
            await reconciler.make_round()
    return time.monotonic() - begun


# What Redis lost


async def test_all_that_an_emptied_redis_lost_is_pushed_by_one_round_in_the_order_of_acceptance(
    resources: Resources, reconciler: Reconciler
) -> None:
    ids = await accept_many(resources, 1_020)
    for _ in range(2):
        await resources.redis.flushall()
        assert await reconciler.make_round() == len(ids)
        assert await waiting(resources) == ids


async def test_what_is_pushed_again_is_served_in_turns_by_its_users(
    resources: Resources, reconciler: Reconciler
) -> None:
    many = await accept_many(resources, 20)
    one = await accept(resources, user_id="another", media_item_id="another photo")
    await reconciler.make_round()
    assert await waiting(resources) == [many[0], one.id, *many[1:]]


async def test_of_many_jobs_those_are_pushed_that_vanished(
    resources: Resources, reconciler: Reconciler
) -> None:
    ids = await accept_many(resources, 500)
    await reconciler.make_round()
    gone, without_trace = ids[7::100], ids[9::100]
    await resources.redis.delete(*(keys.job(job_id) for job_id in gone + without_trace))
    await take_out(resources, *without_trace)
    await reconciler.make_round()
    kept = [job_id for job_id in ids if job_id not in gone + without_trace]
    found = await waiting(resources)
    assert found[: len(kept)] == kept
    assert sorted(found[len(kept) :]) == sorted(gone + without_trace)


async def test_jobs_of_all_types_go_to_their_queues(resources: Resources, reconciler: Reconciler) -> None:
    accepted_ids = {name: [(await accept(resources, type=name)).id] for name in resources.queues}
    await reconciler.make_round()
    assert {name: await waiting(resources, name) for name in resources.queues} == accepted_ids


async def test_a_round_follows_at_once_unless_there_were_many_jobs(
    resources: Resources, reconciler: Reconciler
) -> None:
    """A thousand jobs make for a pause of a second."""
    await accept_many(resources, 2_000)
    await reconciler.run()
    await resources.redis.flushall()
    begun = time.monotonic()
    async with asyncio.timeout(20):
        while not await waiting(resources):
            await reconciler.run()
    assert time.monotonic() - begun > 1.5


# What is left alone


async def test_a_job_that_runs_is_not_pushed(resources: Resources, reconciler: Reconciler) -> None:
    """Its lease says so, whatever Redis knows of it."""
    await started(resources.store, await accept(resources))
    for state in ("", "queued", "started", "finished", "failed", "canceled"):
        await resources.redis.flushall()
        if state:
            job_id = await resources.store.pool.fetchval("select id from jobs")
            await set_in_rq(resources, job_id, status=state, data="x")
        await reconciler.make_round()
        assert await waiting(resources) == []
    assert await resources.store.pool.fetchval("select status from jobs") == "active"


async def test_a_job_that_a_worker_has_begun_with_is_not_pushed(
    resources: Resources, reconciler: Reconciler
) -> None:
    """It is not started on record yet, but in Redis it is."""
    job = await accept(resources)
    await push(resources, job)
    await take_out(resources, job.id)
    with Redis.from_url(resources.settings.redis.url) as redis, redis.pipeline() as pipe:
        rq_job = RQJob.fetch(job.id, connection=redis)
        Execution.create(rq_job, ttl=90, pipeline=pipe, worker_name="stock")
        rq_job.prepare_for_execution("stock", pipeline=pipe)
        pipe.execute()
    await reconciler.make_round()
    assert await waiting(resources) == []


async def test_a_job_that_ran_to_its_end_while_it_was_looked_up_is_not_pushed(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accept(resources, type=TEXT_QUEUE, **TEXT_JOB)
    await push(resources, job)
    async with another(resources, monkeypatch) as (reconciler, crossing):
        looking = crossing.set_trap("command", b"HMGET", silent=True)
        round_ = asyncio.create_task(reconciler.make_round())
        await looking.sprung.wait()
        await work(resources.settings, TEXT_QUEUE, most=1)
        crossing.speak()
        await round_
    assert await waiting(resources, TEXT_QUEUE) == []
    assert (await look(resources.store, job)).status is JobStatus.COMPLETED
    [seen] = await resources.queues[TEXT_QUEUE].look([job.id])
    assert seen.status == "finished"


# What is in no list


async def test_a_job_that_is_in_no_list_for_some_time_is_pushed(
    resources: Resources, reconciler: Reconciler
) -> None:
    """Once is not enough: a stock worker may be about to start it, however long it waited before."""
    lost, listed = [await accept(resources) for _ in range(2)]
    for job in (lost, listed):
        await push(resources, job)
        await set_in_rq(resources, job.id, enqueued_at=LONG_AGO)
    await reconciler.make_round()
    await take_out(resources, lost.id)
    assert await until_lost(reconciler, resources, 2) >= LOST_AFTER
    assert await waiting(resources) == [listed.id, lost.id]


async def test_a_job_is_missed_beside_those_of_other_types_that_are_not(
    resources: Resources, reconciler: Reconciler
) -> None:
    """Jobs are compared by type, and searched for in the order of their acceptance all the same."""
    lost = await accept(resources, type="video-processing")
    listed = await accept(resources)
    for job in (lost, listed):
        await push(resources, job)
        await set_in_rq(resources, job.id, enqueued_at=LONG_AGO)
    await resources.redis.delete(keys.queue(lost.type))
    async with asyncio.timeout(20):
        while not await waiting(resources, lost.type):
            await reconciler.make_round()
    assert await waiting(resources, lost.type) == [lost.id]


async def test_a_job_that_comes_back_to_its_list_was_not_lost(
    resources: Resources, reconciler: Reconciler
) -> None:
    job, other = [await accept(resources) for _ in range(2)]
    for each in (job, other):
        await push(resources, each)
        await set_in_rq(resources, each.id, enqueued_at=LONG_AGO)
        await take_out(resources, each.id)
    await reconciler.make_round()
    await resources.redis.rpush(keys.queue(QUEUE), job.id)
    await reconciler.make_round()
    await take_out(resources, job.id)
    await until_lost(reconciler, resources, 1)
    assert await waiting(resources) == [other.id]


async def test_a_job_that_was_pushed_since_it_was_missed_has_its_time_anew(
    resources: Resources, reconciler: Reconciler
) -> None:
    job = await accept(resources)
    await push(resources, job)
    await take_out(resources, job.id)
    await set_in_rq(resources, job.id, enqueued_at=LONG_AGO)
    missed = time.monotonic()
    while time.monotonic() - missed < LOST_AFTER / 2:
        await reconciler.make_round()
    await set_in_rq(resources, job.id, enqueued_at=LONG_AGO.replace("2026", "2025"))
    assert await until_lost(reconciler, resources, 1) >= LOST_AFTER


@pytest.mark.parametrize("status", ["queued", "scheduled"])
async def test_a_list_that_was_lost_as_a_whole_comes_back_part_by_part(
    resources: Resources, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """However many there are, a round searches for a bounded number."""
    monkeypatch.setattr(missing, "SEARCHED", 7)
    ids = await accept_many(resources, 30)
    await reconciler.make_round()
    await resources.redis.delete(keys.queue(QUEUE))
    for job_id in ids:
        await set_in_rq(resources, job_id, status=status, enqueued_at=LONG_AGO)
    await until_lost(reconciler, resources, len(ids))
    assert sorted(await waiting(resources)) == sorted(ids)


# What ended in Redis


async def test_a_job_that_was_cancelled_with_rqs_tools_is_closed(
    resources: Resources, reconciler: Reconciler
) -> None:
    job = await accept(resources)
    await push(resources, job)
    assert await resources.queues[QUEUE].cancel(job.id)
    await reconciler.make_round()
    closed = await look(resources.store, job)
    assert (closed.status, closed.failed_reason) == (JobStatus.FAILED, "cancelled")


async def test_a_job_that_failed_before_it_was_started_is_pushed_until_it_has_outlived_too_many_workers(
    resources: Resources, reconciler: Reconciler
) -> None:
    job = await accept(resources)
    for _ in range(resources.settings.worker.deaths):
        await fail_in_rq(resources, job)
        await reconciler.make_round()
        assert await waiting(resources) == [job.id]
        await resources.redis.delete(keys.queue(QUEUE))
    await fail_in_rq(resources, job)
    await reconciler.make_round()
    assert await waiting(resources) == []
    closed = await look(resources.store, job)
    assert closed.status is JobStatus.FAILED
    assert closed.failed_reason == "gave up after 4 workers died or could not start it"
    assert closed.stacktrace == ["LookupError: no such object"]


async def test_a_server_that_was_away_uses_up_neither_attempts_nor_workers(
    resources: Resources, reconciler: Reconciler
) -> None:
    job = await accept(resources)
    for _ in range(resources.settings.worker.deaths + 2):
        cut_off = await started(resources.store, job)
        assert (cut_off.attempts, cut_off.deaths) == (1, 0)
        await lapse(resources.store, cut_off)
        await fail_in_rq(resources, job, "foreign.miss_postgres")
        await reconciler.make_round()
        assert await waiting(resources) == [job.id]
        await resources.redis.delete(keys.queue(QUEUE))


async def test_a_worker_without_postgres_gives_its_job_back_unused(
    resources: Resources, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, standin: StandIn
) -> None:
    """Stock RQ's worker waits for Postgres for its share of the job's time; then RQ has the job as failed."""
    job = await accept(resources, type=TEXT_QUEUE, **TEXT_JOB)
    await push(resources, job)
    await set_in_rq(resources, job.id, retries_left="0")
    with monkeypatch.context() as environment:
        environment.setenv("DATABASE_URL", f"postgresql://postgres@127.0.0.1:{ports.free_port()}/mediaq")
        environment.setenv("MEDIAQ_QUEUES__TEXT_ANALYSIS__TIMEOUT", "2")
        await work(resources.settings, TEXT_QUEUE, most=1)
    [seen] = await resources.queues[TEXT_QUEUE].look([job.id])
    assert seen.status == "failed"
    await reconciler.make_round()
    await work(resources.settings, TEXT_QUEUE, most=1)
    done = await look(resources.store, job)
    assert (done.status, done.attempts, done.deaths) == (JobStatus.COMPLETED, 1, 0)
    assert len(standin.billed()) == 1


async def test_a_job_that_only_redis_calls_finished_is_finished_without_a_further_call(
    resources: Resources, reconciler: Reconciler, standin: StandIn
) -> None:
    job = await accept(resources, type=TEXT_QUEUE, **TEXT_JOB)
    await push(resources, job)
    await work(resources.settings, TEXT_QUEUE, most=1)
    await resources.store.pool.execute("update jobs set status = 'active', result = null, finished_at = null")
    await reconciler.make_round()
    await work(resources.settings, TEXT_QUEUE, most=1)
    done = await look(resources.store, job)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 1)
    assert len(standin.billed()) == 1


async def test_a_closed_job_is_no_longer_looked_at(resources: Resources, reconciler: Reconciler) -> None:
    job = await started(resources.store, await accept(resources))
    await attempts.end(resources.store, job, completed())
    assert await reconciler.make_round() == 0
    assert await waiting(resources) == []


# Crashes and competition


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before the push", "after it"])
async def test_a_reconciler_that_ends_in_the_middle_counts_nothing_twice(
    resources: Resources, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """The death is on record when the push fails: this is a job's last chance, and it gets it."""
    job = await accept(resources)
    await resources.store.pool.execute("update jobs set deaths = $1", resources.settings.worker.deaths - 1)
    await fail_in_rq(resources, job)
    async with another(resources, monkeypatch) as (ending, crossing):
        await ending.close()
        trap = crossing.set_trap(*(("command", b"EVALSHA") if side == "command" else ("answer", b":1\r\n")))
        with pytest.raises(RedisError):
            await ending.make_round()
        assert trap.sprung.is_set()
        await ending.close()
    for _ in range(3):
        await reconciler.make_round()
        assert await waiting(resources) == [job.id]
    assert await resources.store.pool.fetchval("select deaths from jobs") == resources.settings.worker.deaths


async def test_one_reconciler_at_a_time_compares(
    resources: Resources, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accept_many(resources, 3)
    async with another(resources, monkeypatch) as (other, _):
        assert await reconciler.make_round() == 3
        assert await other.make_round() == 0
        await reconciler.close()
        assert await other.make_round() == 3


async def test_of_two_in_one_process_one_that_ends_leaves_the_lease_to_the_other(
    resources: Resources,
) -> None:
    """As those of a service and of the worker beside it."""
    owner = "select owner from leases where name = 'reconciler'"
    async with reconciling(resources):
        async with asyncio.timeout(10):
            while (first := await resources.store.pool.fetchval(owner)) is None:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        async with reconciling(resources):
            pass
        assert await resources.store.pool.fetchval(owner) == first
    assert await resources.store.pool.fetchval(owner) is None


async def test_a_reconciler_that_freezes_is_succeeded_and_pushes_nothing_when_it_goes_on(
    resources: Resources, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is about to push what it found lost; the other pushes it, and it runs to its end, before it does."""
    done, still = [await accept(resources, type=TEXT_QUEUE, **TEXT_JOB) for _ in range(2)]
    async with another(resources, monkeypatch) as (frozen, crossing):
        pushing = crossing.set_trap("command", b"EVALSHA", silent=True)
        round_ = asyncio.create_task(frozen.make_round())
        await pushing.sprung.wait()
        assert await reconciler.make_round() == 0
        async with asyncio.timeout(20):
            while await reconciler.make_round() == 0:  # noqa: ASYNC110 - a lease has no event
                await asyncio.sleep(0.01)
        assert await waiting(resources, TEXT_QUEUE) == [done.id, still.id]
        await work(resources.settings, TEXT_QUEUE, most=1)
        crossing.speak()
        await round_
    assert await waiting(resources, TEXT_QUEUE) == [still.id]
    [seen] = await resources.queues[TEXT_QUEUE].look([done.id])
    assert seen.status == "finished"


async def test_a_job_whose_keys_are_broken_does_not_keep_the_others_from_being_pushed(
    resources: Resources, reconciler: Reconciler
) -> None:
    ids = await accept_many(resources, 3)
    await resources.redis.set(keys.job(ids[0]), "a text")
    await resources.redis.set(keys.executions(ids[1]), "a text")
    await reconciler.make_round()
    assert await waiting(resources) == [ids[0], ids[2]]
