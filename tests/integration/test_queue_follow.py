"""Following jobs from asyncio: reading, waiting, cancelling, requeueing; pausing and emptying queues."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import foreign
import pytest
from queue_kit import NAME, Worker, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue as RQQueue
from rq import Repeat, Retry
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.rate_limit import RateLimit
from rq.registry import CanceledJobRegistry, ReadyJobRegistry
from rq.utils import decode_redis_hash

from mediaq.queue import keys
from mediaq.queue.codec import ForeignPickle
from mediaq.queue.handle import Handle, JobFailed
from mediaq.queue.queue import Counts, Queue
from mediaq.queue.view import Call, JobView, Unreadable

pytest_plugins = ["queue_fixtures"]


class ThreadWorker(Worker):
    """RQ's own worker beside a test."""

    def _install_signal_handlers(self) -> None:
        """Only the main thread can."""


async def work_beside(sync: Redis) -> None:
    """Run all that is queued while the test goes on."""
    worker = ThreadWorker([NAME], connection=sync)
    await asyncio.to_thread(worker.work, burst=True, logging_level="CRITICAL")


def begin(sync: Redis, job_id: str, worker: str = "stock") -> Execution:
    """Start a job as a stock worker does."""
    job = RQJob.fetch(job_id, connection=sync)
    with sync.pipeline() as pipe:
        pipe.lrem(keys.queue(NAME), 1, job_id)
        execution = Execution.create(job, ttl=90, pipeline=pipe, worker_name=worker)
        job.prepare_for_execution(worker, pipeline=pipe)
        pipe.execute()
    return execution


async def fetched(job: Handle) -> JobView:
    view = await job.fetch()
    assert view is not None
    return view


# Reading


async def test_a_job_that_waits_is_read_as_it_was_made(queue: Queue) -> None:
    before = datetime.now(UTC)
    parent = await queue.enqueue("a.b")
    options: dict[str, Any] = {
        "meta": {"c": 3},
        "job_timeout": 7,
        "retry": Retry(max=2),
        "depends_on": parent,
    }
    view = await fetched(await queue.enqueue("a.b", 1, two=2, **options))
    assert (view.queue, view.status, view.description) == (NAME, "deferred", "a.b(1, two=2)")
    assert view.call == Call("a.b", (1,), {"two": 2})
    assert (view.meta, view.timeout, view.retries_left) == ({"c": 3}, 7, 2)
    assert (view.waits_for, view.ended, view.result, view.error) == ((parent.id,), False, None, None)
    assert view.created_at is not None
    assert before <= view.created_at <= datetime.now(UTC)
    assert (view.enqueued_at, view.started_at, view.ended_at, view.due_at) == (None, None, None, None)


async def test_a_job_of_stock_rq_is_read_when_it_ended(queue: Queue, rq: RQQueue, sync: Redis) -> None:
    done = rq.enqueue(foreign.shout, "a")
    failed = rq.enqueue(foreign.fail)
    work(sync)
    view, other = await fetched(queue.job(done.id)), await fetched(queue.job(failed.id))
    assert (view.status, view.result, view.error, view.ended) == ("finished", "A", None, True)
    assert view.call == Call("foreign.shout", ("a",), {})
    assert view.enqueued_at is not None
    assert view.started_at is not None
    assert view.ended_at is not None
    assert view.enqueued_at < view.started_at < view.ended_at
    assert view.worker
    assert (other.status, other.result, other.ended) == ("failed", None, True)
    assert other.error is not None
    assert other.error.startswith("Traceback")
    assert "LookupError: no such object" in other.error


async def test_a_scheduled_job_tells_when_it_is_due(queue: Queue) -> None:
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    view = await fetched(await queue.enqueue_at(when, "a.b"))
    assert (view.status, view.due_at) == ("scheduled", when)


async def test_what_workers_noted_of_deaths_and_interruptions_is_read(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue("a.b")
    sync.hset(keys.job(job.id), mapping={"mediaq_deaths": 2, "mediaq_interruptions": 1})
    view = await fetched(job)
    assert (view.deaths, view.interruptions) == (2, 1)


async def test_a_queue_knows_its_own_jobs_only(queue: Queue, redis: AsyncRedis) -> None:
    job = await Queue("other", redis).enqueue("a.b")
    assert await queue.fetch(job.id) is None
    assert await queue.fetch("unknown") is None
    for act in (queue.cancel, queue.requeue):
        with pytest.raises(NoSuchJobError):
            await act(job.id)
    assert (await fetched(job)).status == "queued"


async def test_nothing_a_payload_names_is_resolved(queue: Queue, rq: RQQueue, sync: Redis) -> None:
    job = rq.enqueue("foreign.give", foreign.Unwelcome(), meta={"a": foreign.Unwelcome()})
    work(sync)
    foreign.resolved.clear()
    view = await fetched(queue.job(job.id))
    for value in (view.call, view.meta, view.result):
        assert isinstance(value, Unreadable)
        assert "foreign" in value.reason
    assert foreign.resolved == []
    with pytest.raises(ForeignPickle):
        await queue.job(job.id).result()


async def test_a_payload_that_would_take_gigabytes_to_read_is_not_read(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue("a.b")
    bomb = b"\x80\x05}r" + (20_000_000).to_bytes(4, "little") + b"."
    sync.hset(keys.job(job.id), mapping={"meta": bomb, "data": bomb})
    view = await fetched(job)
    for value in (view.meta, view.call):
        assert isinstance(value, Unreadable)
        assert "20000000" in value.reason


async def test_a_hash_that_anybody_wrote_is_read_as_far_as_it_can_be(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue("a.b")
    for name in ("timeout", "started_at", "dependency_ids", "mediaq_deaths", "data"):
        sync.hset(keys.job(job.id), name, "AAAA")
    sync.xadd(keys.results(job.id), {"type": "?", "return_value": "AAAA", "exc_string": "AAAA"})
    view = await fetched(job)
    assert (view.timeout, view.started_at, view.waits_for, view.deaths) == (None, None, (), 0)
    assert isinstance(view.call, Unreadable)
    assert isinstance(view.result, Unreadable)
    assert "cannot be read" in str(view.error)


# Waiting


async def test_a_result_is_waited_for_whoever_runs_the_job(queue: Queue, sync: Redis) -> None:
    jobs = [await queue.enqueue(foreign.shout, word) for word in "abc"]
    waiting = asyncio.gather(*(job.result(timeout=20) for job in jobs))
    await work_beside(sync)
    assert await waiting == ["A", "B", "C"]
    assert await jobs[0].result() == "A"


async def test_waiting_ends_at_once_when_the_job_does(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue(foreign.shout, "a")
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await work_beside(sync)
    ended = time.perf_counter()
    assert await waiting == "A"
    assert time.perf_counter() - ended < 0.2


async def test_a_job_that_fails_tells_why(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue(foreign.fail)
    waiting = asyncio.create_task(job.result())
    await work_beside(sync)
    with pytest.raises(JobFailed, match=r"failed: LookupError: no such object$") as caught:
        await waiting
    assert "Traceback" in str(caught.value.job.error)


async def test_a_job_that_is_run_again_after_a_failure_is_waited_for(queue: Queue, sync: Redis) -> None:
    foreign.failures["job"] = 2
    job = await queue.enqueue(foreign.fail_some_times, "job", retry=2)
    waiting = asyncio.create_task(job.result())
    await work_beside(sync)
    assert await waiting == "at last"


async def test_a_repeating_job_gives_its_next_result(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue(foreign.shout, "a", repeat=Repeat(times=2, interval=60))
    waiting = asyncio.create_task(job.result())
    await work_beside(sync)
    assert await waiting == "A"
    assert (await fetched(job)).status == "scheduled"


async def test_a_job_that_does_not_end_in_time_goes_on(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue(foreign.shout, "a")
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.05)
    work(sync)
    assert await job.result(timeout=1) == "A"


async def test_a_job_that_is_cancelled_or_forgotten_is_waited_for_no_more(queue: Queue, sync: Redis) -> None:
    cancelled, forgotten = await queue.enqueue("a.b"), await queue.enqueue("a.b")
    waiting = [asyncio.create_task(job.result()) for job in (cancelled, forgotten)]
    await asyncio.sleep(0.05)
    await cancelled.cancel()
    sync.delete(keys.job(forgotten.id))
    with pytest.raises(JobFailed, match="canceled"):
        await waiting[0]
    with pytest.raises(NoSuchJobError):
        await waiting[1]


async def test_however_many_wait_one_connection_waits(queue: Queue, sync: Redis) -> None:
    before = len(sync.client_list())
    jobs = await queue.enqueue_many([queue.prepare(foreign.shout, "a") for _ in range(60)])
    waiting = [asyncio.create_task(job.result()) for job in jobs[:30]]
    await asyncio.sleep(0.05)
    waiting += [asyncio.create_task(job.result()) for job in jobs[30:]]
    await asyncio.sleep(0.05)
    assert len(sync.client_list()) <= before + 2
    for job in jobs:
        finish(sync, job.id)
    assert await asyncio.gather(*waiting) == ["done"] * 60


def finish(sync: Redis, job_id: str) -> None:
    """End a job as a stock worker does."""
    job = RQJob.fetch(job_id, connection=sync)
    with sync.pipeline() as pipe:
        job._result = "done"
        job._handle_success(500, pipeline=pipe)
        pipe.execute()


async def test_a_job_that_is_waited_for_later_than_others_is_noticed_as_soon(
    queue: Queue, sync: Redis
) -> None:
    first, second = await queue.enqueue("a.b"), await queue.enqueue("a.b")
    waiting = asyncio.create_task(first.result())
    await asyncio.sleep(0.05)
    later = asyncio.create_task(second.result())
    await asyncio.sleep(0.05)
    finish(sync, second.id)
    assert await asyncio.wait_for(later, 0.5) == "done"
    assert not waiting.done()
    finish(sync, first.id)
    assert await asyncio.wait_for(waiting, 0.5) == "done"


async def test_a_cancelled_job_is_noticed_though_others_come_to_wait_all_the_time(queue: Queue) -> None:
    cancelled = await queue.enqueue("a.b")
    waiting = asyncio.create_task(cancelled.result())
    others = []
    await asyncio.sleep(0.05)
    await cancelled.cancel()
    async with asyncio.timeout(5):
        while not waiting.done():
            others.append(asyncio.create_task((await queue.enqueue("a.b")).result()))
            await asyncio.sleep(0.1)
    with pytest.raises(JobFailed, match="canceled"):
        await waiting
    for other in others:
        other.cancel()
    await asyncio.wait(others)


async def test_waiting_ends_when_the_client_is_closed(redis_url: str) -> None:
    async with AsyncRedis.from_url(redis_url) as redis:
        job = await Queue(NAME, redis).enqueue("a.b")
        waiting = asyncio.create_task(job.result())
        await asyncio.sleep(0.05)
    with pytest.raises(RedisConnectionError):
        await waiting


# Cancelling

CancelCase = Callable[[Queue], Any]


async def queued(queue: Queue) -> Handle:
    return await queue.enqueue("a.b", job_id="job")


async def scheduled(queue: Queue) -> Handle:
    return await queue.enqueue_in(60, "a.b", job_id="job")


async def deferred(queue: Queue) -> Handle:
    await queue.enqueue("a.b", job_id="parent")
    return await queue.enqueue("a.b", job_id="job", depends_on="parent")


async def waited_for(queue: Queue) -> Handle:
    job = await queue.enqueue("a.b", job_id="job")
    await queue.enqueue("a.b", job_id="child", depends_on=job)
    return job


async def behind_a_limit(queue: Queue) -> Handle:
    await queue.enqueue("a.b", job_id="parent", rate_limit=RateLimit("few", 1))
    return await queue.enqueue("a.b", job_id="job", rate_limit=RateLimit("few", 1))


async def before_others_of_a_limit(queue: Queue) -> Handle:
    job = await queue.enqueue("a.b", job_id="job", rate_limit=RateLimit("few", 1))
    await queue.enqueue("a.b", job_id="next", rate_limit=RateLimit("few", 1))
    return job


async def ready(queue: Queue) -> Handle:
    job = await deferred(queue)
    with Redis.from_pool(sync_pool(queue)) as sync, sync.pipeline() as pipe:
        rq_job = RQJob.fetch(job.id, connection=sync)
        ReadyJobRegistry(NAME, connection=sync).register_jobs([rq_job], pipeline=pipe)
        pipe.execute()
    return job


def sync_pool(queue: Queue) -> Any:
    from redis import ConnectionPool

    settings = queue.redis.connection_pool.connection_kwargs
    return ConnectionPool(**{name: settings[name] for name in ("host", "port", "password", "db")})


async def running(queue: Queue) -> Handle:
    job = await queue.enqueue("a.b", job_id="job")
    with Redis.from_pool(sync_pool(queue)) as sync:
        begin(sync, job.id)
    return job


def state(sync: Redis) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    for key in sync.scan_iter():
        match sync.type(key):
            case b"hash":
                fields = decode_redis_hash(sync.hgetall(key))
                changing = {"created_at", "enqueued_at", "started_at", "last_heartbeat"}
                found[key] = {name: value for name, value in fields.items() if name not in changing}
            case b"zset":
                found[key] = set(sync.zrange(key, 0, -1))
            case b"list":
                found[key] = sync.lrange(key, 0, -1)
            case b"set":
                found[key] = sync.smembers(key)
    return {key: value for key, value in found.items() if not key.startswith((b"rq:execution", b"rq:worker"))}


@pytest.mark.parametrize(
    "make",
    [queued, scheduled, deferred, waited_for, behind_a_limit, before_others_of_a_limit, ready, running],
)
async def test_a_cancelled_job_is_left_as_stock_rq_leaves_it(
    queue: Queue, sync: Redis, make: Callable[[Queue], Any]
) -> None:
    await make(queue)
    RQJob.fetch("job", connection=sync).cancel()
    stock = state(sync)
    sync.flushall()
    job = await make(queue)
    assert await job.cancel()
    assert state(sync) == stock
    assert "job" in CanceledJobRegistry(NAME, connection=sync).get_job_ids()
    assert not await job.cancel()


async def test_a_worker_that_runs_a_cancelled_job_is_told_to_stop_it(queue: Queue, sync: Redis) -> None:
    job = await queue.enqueue("a.b")
    begin(sync, job.id, "some-worker")
    with sync.pubsub() as commands:  # type: ignore[no-untyped-call]
        commands.subscribe(keys.commands("some-worker"))
        commands.get_message(timeout=1)
        assert await job.cancel()
        message = commands.get_message(timeout=1)
    assert message is not None
    assert json.loads(message["data"]) == {"command": "stop-job", "job_id": job.id}
    assert sync.zrange(keys.started(NAME), 0, -1) == []


@pytest.mark.parametrize("function", [foreign.shout, foreign.fail])
async def test_a_job_that_has_ended_is_not_cancelled(
    queue: Queue, sync: Redis, function: Callable[..., Any]
) -> None:
    job = await queue.enqueue(function, *("a",) * (function is foreign.shout))
    work(sync)
    before = state(sync)
    assert not await job.cancel()
    assert state(sync) == before


# Requeueing


@pytest.mark.parametrize("make", [scheduled, deferred, ready])
async def test_a_job_that_waits_elsewhere_is_put_into_the_queue(
    queue: Queue, rq: RQQueue, sync: Redis, make: Callable[[Queue], Any]
) -> None:
    job = await make(queue)
    others = rq.job_ids
    sync.delete(keys.QUEUES)
    await queue.requeue(job.id)
    assert rq.job_ids == [*others, "job"]
    assert sync.smembers(keys.QUEUES) == {rq.key.encode()}
    assert (await fetched(job)).status == "queued"
    assert (await queue.counts()).delayed == 0
    assert not sync.exists(keys.dependencies("job"), keys.dependents("parent"))


async def test_a_requeued_job_runs_once_though_the_job_it_waited_for_ends(queue: Queue, sync: Redis) -> None:
    foreign.calls.clear()
    parent = await queue.enqueue(foreign.shout, "a")
    job = await queue.enqueue(foreign.note, "b", depends_on=parent)
    await queue.requeue(job.id, at_front=True)
    work(sync)
    assert foreign.calls == ["b"]


async def test_a_job_that_failed_starts_afresh(queue: Queue, rq: RQQueue, sync: Redis) -> None:
    job = await queue.enqueue(foreign.fail, failure_ttl=60)
    work(sync)
    sync.hset(keys.job(job.id), "mediaq_deaths", 3)
    assert sync.ttl(keys.job(job.id)) > 0
    await queue.requeue(job.id)
    view = await fetched(job)
    assert (view.status, view.started_at, view.ended_at, view.deaths) == ("queued", None, None, 0)
    assert (rq.job_ids, rq.failed_job_registry.get_job_ids()) == ([job.id], [])
    assert sync.ttl(keys.job(job.id)) == -1


async def test_a_job_that_was_cancelled_or_finished_runs_again(
    queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    foreign.calls.clear()
    done, cancelled = await queue.enqueue(foreign.note, "a"), await queue.enqueue(foreign.note, "b")
    await cancelled.cancel()
    work(sync)
    sync.zadd(keys.ended(NAME), {done.id: time.time()})
    await queue.requeue(done.id)
    await queue.requeue(cancelled.id, at_front=True)
    assert rq.job_ids == [cancelled.id, done.id]
    assert (rq.finished_job_registry.get_job_ids(), rq.canceled_job_registry.get_job_ids()) == ([], [])
    assert not sync.exists(keys.ended(NAME))
    work(sync)
    assert foreign.calls == ["a", "b", "a"]


async def test_a_job_that_waits_in_the_queue_stays_there_once_or_moves_to_its_front(
    queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    first, second = await queue.enqueue("a.b"), await queue.enqueue("a.b")
    await queue.requeue(first.id)
    assert rq.job_ids == [first.id, second.id]
    await queue.requeue(second.id, at_front=True)
    assert rq.job_ids == [second.id, first.id]
    # As a stock worker does that is about to start it.
    sync.lmove(rq.key, rq.intermediate_queue_key, "LEFT", "LEFT")
    await queue.requeue(second.id, at_front=True)
    assert rq.job_ids == [first.id]


async def test_a_job_that_left_the_queue_and_was_never_started_is_put_back(
    queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    job = await queue.enqueue("a.b")
    sync.lpop(rq.key)
    await queue.requeue(job.id)
    assert rq.job_ids == [job.id]


async def test_a_job_that_runs_is_not_requeued(queue: Queue, rq: RQQueue) -> None:
    job = await running(queue)
    with pytest.raises(InvalidJobOperation):
        await queue.requeue(job.id)
    assert rq.job_ids == []


async def test_a_job_that_holds_a_slot_of_a_rate_limit_keeps_it_when_it_moves_to_the_front(
    queue: Queue, rq: RQQueue
) -> None:
    other, job = await queue.enqueue("a.b"), await queue.enqueue("a.b", rate_limit=RateLimit("few", 1))
    await queue.requeue(job.id, at_front=True)
    assert rq.job_ids == [job.id, other.id]
    assert (await fetched(job)).status == "queued"


async def test_a_requeued_job_waits_for_its_rate_limit(queue: Queue, rq: RQQueue) -> None:
    job = await queue.enqueue_in(60, "a.b", rate_limit=RateLimit("few", 1))
    holder = await queue.enqueue("a.b", rate_limit=RateLimit("few", 1))
    await queue.requeue(job.id)
    assert (await fetched(job)).status == "rate_limited"
    await holder.cancel()
    assert (await fetched(job)).status == "queued"
    assert rq.job_ids == [job.id]


# Whole queues


async def test_a_paused_queue_tells_so_until_it_is_resumed(queue: Queue, sync: Redis) -> None:
    await queue.enqueue("a.b")
    await queue.pause()
    assert sync.smembers(keys.PAUSED) == {NAME.encode()}
    assert await queue.counts() == Counts(waiting=0, active=0, completed=0, failed=0, delayed=0, paused=1)
    await queue.resume()
    assert await queue.counts() == Counts(waiting=1, active=0, completed=0, failed=0, delayed=0, paused=0)


async def test_an_emptied_queue_leaves_nothing_of_what_waited_in_it(
    queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    later = await queue.enqueue_in(60, "a.b")
    jobs = await queue.enqueue_many([queue.prepare("a.b", number) for number in range(250)])
    child = await queue.enqueue("a.b", depends_on=jobs[0])
    # As is left of a job that waited, that ran before, or that is of a group.
    sync.sadd(keys.dependencies(jobs[1].id), "parent")
    sync.xadd(keys.results(jobs[1].id), {"type": 1})
    sync.hset(keys.job(jobs[1].id), "group_id", "some")
    sync.sadd("rq:group:some", jobs[1].id)
    assert await queue.empty() == 250
    assert rq.job_ids == []
    assert not sync.exists("rq:group:some", keys.results(jobs[1].id))
    left = {key.decode() for key in sync.scan_iter("rq:job*")}
    assert left == {keys.job(later.id), keys.job(child.id), keys.dependencies(child.id)}
    assert await queue.empty() == 0


# The connection


async def test_a_queue_goes_on_after_redis_has_dropped_it_and_forgotten_its_scripts(
    queue: Queue, sync: Redis
) -> None:
    await queue.enqueue("a.b")
    sync.script_flush()
    sync.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(RedisConnectionError):
        await asyncio.gather(*(queue.enqueue("a.b") for _ in range(5)))
    jobs = await asyncio.gather(*(queue.enqueue("a.b") for _ in range(5)))
    assert [(await fetched(job)).status for job in jobs] == ["queued"] * 5


async def test_producers_at_once_share_a_connection(queue: Queue, rq: RQQueue, sync: Redis) -> None:
    before = len(sync.client_list())
    jobs = await asyncio.gather(*(queue.enqueue("a.b", number) for number in range(100)))
    assert len(sync.client_list()) <= before + 1
    assert rq.job_ids == [job.id for job in jobs]


async def test_silence_of_redis_ends_a_call_after_the_clients_timeout(redis_url: str, sync: Redis) -> None:
    async with AsyncRedis.from_url(redis_url, socket_timeout=0.2) as redis:
        queue = Queue(NAME, redis)
        await queue.enqueue("a.b")
        sync.client_pause(500)
        with pytest.raises(RedisTimeoutError):
            await queue.enqueue("a.b")
