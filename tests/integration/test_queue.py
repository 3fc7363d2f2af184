"""RQ's queues from asyncio, beside stock RQ 3.0 on a real server."""

import asyncio
import time
import zlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import foreign
import pytest
from queue_kit import JOB, NAME, Worker, work
from redis import Redis
from rq import Queue as RQQueue
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job as RQJob
from rq.registry import ScheduledJobRegistry, StartedJobRegistry

from mediaq.queue.queue import Counts, Queue, QueuedJob
from mediaq.queue.seen import PIECE, Seen, find_listed

pytest_plugins = ["queue_fixtures"]


async def look(queue: Queue, job_id: str = JOB.id) -> Seen:
    [seen] = await queue.look([job_id])
    return seen


async def push_again(queue: Queue, job: QueuedJob = JOB) -> bool:
    """Push a job as it stands there now."""
    seen = await look(queue, job.id)
    if not seen.status:
        seen = attrs.evolve(seen, listed=job.id in await queue.find_listed([job.id]))
    return await queue.push(job, seen)


def begin(sync: Redis, job_id: str = JOB.id, *, ttl: int = 90) -> Execution:
    """Start a job as a stock worker does that then says no more; below 0, `ttl` is how long it is dead."""
    job = RQJob.fetch(job_id, connection=sync)
    with sync.pipeline() as pipe:
        pipe.lrem(f"rq:queue:{NAME}", 1, job_id)
        execution = Execution.create(job, ttl=max(ttl, 90), pipeline=pipe, worker_name="stock")
        job.prepare_for_execution("stock", pipeline=pipe)
        pipe.execute()
    if ttl <= 0:
        died = time.time() + ttl
        sync.zadd(f"rq:wip:{NAME}", {execution.composite_key: died})
        sync.zadd(f"rq:executions:{job_id}", {execution.id: died + 60})
    return execution


def keys_of(sync: Redis, job_id: str) -> list[bytes]:
    return list(sync.scan_iter(f"*{job_id}*"))


# Push


async def test_a_pushed_job_is_one_that_stock_rq_reads(queue: Queue, sync: Redis) -> None:
    before = datetime.now(UTC)
    assert await queue.push(JOB)
    job = RQJob.fetch(JOB.id, connection=sync)
    assert (job.func_name, job.args, job.kwargs, job.instance) == (JOB.function, JOB.args, {}, None)
    assert (job.description, job.origin, job.get_status()) == ("process-image", NAME, "queued")
    assert (job.timeout, job.result_ttl, job.failure_ttl, job.ttl) == (300, 3600, 86400, None)
    assert (job.retries_left, job.retry_intervals, job.meta) == (2, [2, 4], JOB.meta)
    assert job.created_at is not None
    assert job.enqueued_at is not None
    assert before - timedelta(seconds=1) < job.created_at <= job.enqueued_at
    assert (job.started_at, job.ended_at, job.worker_name, job.group_id) == (None, None, None, None)
    assert sync.ttl(job.key) == -1


async def test_a_pushed_job_is_in_its_queue_for_stock_tools(queue: Queue, sync: Redis) -> None:
    await queue.push(JOB)
    await queue.push(attrs.evolve(JOB, id="job-2"))
    [found] = RQQueue.all(connection=sync)
    assert (found.name, found.job_ids) == (NAME, ["job-1", "job-2"])


async def test_a_pushed_job_has_the_fields_of_one_that_stock_rq_enqueued(queue: Queue, rq: RQQueue) -> None:
    await queue.push(attrs.evolve(JOB, retries_left=0, retry_intervals=()))
    rq.enqueue("foreign.shout", "hé", job_id="stock", result_ttl=1, failure_ttl=1, meta={"a": 1})
    ours, theirs = (rq.connection.hgetall(f"rq:job:{job_id}") for job_id in (JOB.id, "stock"))
    assert set(ours) - set(theirs) == {b"retries_left", b"retry_intervals"}
    assert {name for name, value in theirs.items() if value} - set(ours) == set()


async def test_stock_rq_runs_a_pushed_job(queue: Queue, sync: Redis) -> None:
    await queue.push(JOB)
    await queue.push(attrs.evolve(JOB, id="job-2", function="foreign.describe", args=()))
    work(sync)
    shouted, described = (RQJob.fetch(job_id, connection=sync) for job_id in ("job-1", "job-2"))
    assert shouted.return_value() == "HÉ"
    assert described.return_value() == {"id": "job-2", "meta": JOB.meta, "timeout": 300}
    assert await queue.counts() == Counts(waiting=0, active=0, completed=2, failed=0, delayed=0)


async def test_stock_rq_delays_a_pushed_job_that_fails_by_its_first_interval(
    queue: Queue, sync: Redis
) -> None:
    await queue.push(attrs.evolve(JOB, function="foreign.fail", args=(), retry_intervals=(20, 40)))
    work(sync)
    due = ScheduledJobRegistry(NAME, connection=sync).get_scheduled_time(JOB.id)
    assert timedelta(seconds=15) < due - datetime.now(UTC) < timedelta(seconds=21)


async def test_a_job_that_is_pushed_twice_is_there_once(queue: Queue, rq: RQQueue) -> None:
    pushed = await asyncio.gather(*(queue.push(JOB) for _ in range(5)))
    assert sorted(pushed) == [False] * 4 + [True]
    assert rq.job_ids == [JOB.id]


async def test_a_job_that_a_living_worker_runs_is_not_pushed(queue: Queue, sync: Redis, rq: RQQueue) -> None:
    await queue.push(JOB)
    begin(sync, ttl=30)
    assert not await push_again(queue)
    assert rq.job_ids == []
    assert (await look(queue)).running


async def test_a_job_that_stands_in_the_list_without_its_hash_stands_there_once_when_pushed(
    queue: Queue, sync: Redis
) -> None:
    await queue.push(JOB)
    sync.delete(f"rq:job:{JOB.id}")
    assert await push_again(queue)
    assert sync.lrange(f"rq:queue:{NAME}", 0, -1) == [JOB.id.encode()]


async def test_a_job_called_scheduled_that_nobody_scheduled_is_pushed(queue: Queue, sync: Redis) -> None:
    await queue.push(JOB)
    sync.lpop(f"rq:queue:{NAME}")
    sync.hset(f"rq:job:{JOB.id}", "status", "scheduled")
    assert not (await look(queue)).listed
    assert await push_again(queue)
    assert sync.lrange(f"rq:queue:{NAME}", 0, -1) == [JOB.id.encode()]


@pytest.mark.parametrize("status", ["deferred", "stopped", "canceled", "finished", "failed"])
async def test_a_job_that_is_otherwise_than_it_was_seen_is_not_pushed(
    queue: Queue, sync: Redis, status: str
) -> None:
    await queue.push(JOB)
    seen = await look(queue)
    sync.hset(f"rq:job:{JOB.id}", "status", status)
    sync.lpop(f"rq:queue:{NAME}")
    assert not await queue.push(JOB)
    assert not await queue.push(JOB, seen)
    assert sync.hget(f"rq:job:{JOB.id}", "status") == status.encode()


async def test_a_push_that_comes_late_changes_nothing(queue: Queue, sync: Redis, rq: RQQueue) -> None:
    """Another process has pushed the job meanwhile, and it has come to the same state again."""
    await queue.push(attrs.evolve(JOB, retries_left=0, retry_intervals=()))
    work(sync)
    seen = await look(queue)
    assert await queue.push(JOB, seen)
    work(sync)
    assert (await look(queue)).status == seen.status
    assert not await queue.push(JOB, seen)
    assert rq.job_ids == []


async def test_a_key_of_another_type_is_replaced_by_the_job(queue: Queue, sync: Redis) -> None:
    sync.set(f"rq:job:{JOB.id}", "a text")
    await queue.push(attrs.evolve(JOB, id="job-2"))
    broken, sound = await queue.look([JOB.id, "job-2"])
    assert (broken, sound.status) == (Seen(), "queued")
    assert await queue.push(JOB, broken)
    work(sync)
    assert (await look(queue)).status == "finished"


async def test_a_job_that_is_scheduled_is_not_pushed(queue: Queue, rq: RQQueue) -> None:
    rq.enqueue_in(timedelta(hours=1), foreign.shout, "a", job_id=JOB.id)
    assert (await look(queue)).listed
    assert not await push_again(queue)
    assert rq.job_ids == []


async def test_a_job_that_a_stock_worker_is_about_to_start_is_not_pushed(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    await queue.push(JOB)
    RQQueue.dequeue_any([rq], None, connection=sync)
    assert (rq.job_ids, sync.lrange(rq.intermediate_queue_key, 0, -1)) == ([], [b"job-1"])
    assert await queue.find_listed([JOB.id]) == {JOB.id}
    assert not await push_again(queue)


async def test_a_job_that_a_stock_worker_starts_this_moment_is_not_pushed(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    """It has an execution and is in no list; the status is still to be written."""
    await queue.push(JOB)
    begin(sync)
    sync.hset(f"rq:job:{JOB.id}", "status", "queued")
    assert await queue.find_listed([JOB.id]) == set()
    assert not await push_again(queue)
    assert rq.job_ids == []


async def test_a_job_that_a_stock_worker_popped_and_lost_is_pushed(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    await queue.push(JOB)
    sync.lpop(rq.key)
    assert await queue.find_listed([JOB.id]) == set()
    assert await push_again(queue)
    assert rq.job_ids == [JOB.id]


async def test_jobs_of_an_emptied_redis_are_pushed(queue: Queue, sync: Redis, rq: RQQueue) -> None:
    await queue.push(JOB)
    sync.flushall()
    assert await push_again(queue)
    assert rq.job_ids == [JOB.id]


async def test_a_worker_that_is_late_to_renew_its_execution_counts_as_living(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    await queue.push(JOB)
    begin(sync, ttl=-10)
    assert (await look(queue)).running
    assert not await push_again(queue)
    assert rq.job_ids == []


@pytest.mark.parametrize("dead_for", [20, 3600])
async def test_a_job_whose_worker_died_is_pushed_and_leaves_no_dead_entries(
    queue: Queue, sync: Redis, rq: RQQueue, dead_for: int
) -> None:
    await queue.push(JOB)
    execution = begin(sync, ttl=-dead_for)
    assert not (await look(queue)).running
    assert await push_again(queue)
    assert rq.job_ids == [JOB.id]
    assert StartedJobRegistry(NAME, connection=sync).get_job_ids(cleanup=False) == []
    assert not sync.exists(execution.key, ExecutionRegistry(JOB.id, connection=sync).key)
    work(sync)
    assert RQJob.fetch(JOB.id, connection=sync).return_value() == "HÉ"


@pytest.mark.parametrize("function", ["foreign.shout", "foreign.fail"])
async def test_a_job_that_ended_is_pushed_anew_and_forgets_how_it_ended(
    queue: Queue, sync: Redis, rq: RQQueue, function: str
) -> None:
    args = ("a",) if function == "foreign.shout" else ()
    job = attrs.evolve(JOB, function=function, args=args, retries_left=0, retry_intervals=())
    await queue.push(job)
    work(sync)
    assert await push_again(queue, job)
    assert await queue.counts() == Counts(waiting=1, active=0, completed=0, failed=0, delayed=0)
    again = rq.fetch_job(JOB.id)
    assert again is not None
    assert (again.ended_at, again.worker_name, again.results()) == (None, None, [])
    assert sync.ttl(again.key) == -1


# Counts


async def test_jobs_are_counted_by_where_they_are(queue: Queue, sync: Redis, rq: RQQueue) -> None:
    rq.enqueue(foreign.shout, "a")
    rq.enqueue(foreign.fail)
    work(sync)
    first = rq.enqueue(foreign.shout, "a", job_id="first")
    rq.enqueue(foreign.shout, "a", depends_on=first)
    rq.enqueue_in(timedelta(hours=1), foreign.shout, "a")
    rq.enqueue(foreign.shout, "a")
    begin(sync, "first")
    assert await queue.counts() == Counts(waiting=1, active=1, completed=1, failed=1, delayed=2)


async def test_what_has_expired_does_not_count_and_what_is_kept_for_ever_does(
    queue: Queue, sync: Redis
) -> None:
    past, inf = time.time() - 1, float("inf")
    sync.zadd(f"rq:wip:{NAME}", {"a:1": past})
    sync.zadd(f"rq:finished:{NAME}", {"a": past, "b": inf})
    sync.zadd(f"rq:failed:{NAME}", {"c": past, "d": -1, "e": -1})
    assert await queue.counts() == Counts(waiting=0, active=0, completed=1, failed=2, delayed=0)


# Look


async def test_looking_tells_what_redis_knows_of_each_job(queue: Queue, sync: Redis) -> None:
    await queue.push(JOB)
    waiting, unknown = await queue.look([JOB.id, "unknown"])
    assert attrs.evolve(waiting, push="") == Seen("queued")
    assert waiting.pushed_at == RQJob.fetch(JOB.id, connection=sync).enqueued_at
    assert unknown == Seen()
    work(sync)
    done = await look(queue)
    assert (done.status, done.listed, done.error) == ("finished", False, None)


async def test_looking_at_a_failed_job_gives_the_last_line_of_its_error(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    rq.enqueue(foreign.fail, job_id=JOB.id)
    work(sync)
    seen = await look(queue)
    assert (seen.status, seen.error) == ("failed", "LookupError: no such object")


FRAME = '  File "a.py", line 1, in f\n    g()\n    ^^^\n'


@pytest.mark.parametrize(
    ("trace", "error"),
    [
        (f"Traceback:\n{FRAME}LookupError: a\nb", "LookupError: a"),
        (f"{FRAME}ValueError\n\nDuring that:\n\n{FRAME}OSError: [Errno 1] c\n", "OSError: [Errno 1] c"),
        ("No frames.\nThe last line.\n", "The last line."),
        ("  + Exception Group Traceback\n    +-----\n", "+-----"),
        ("", None),
    ],
    ids=["of two lines", "after another", "without frames", "of a group", "none"],
)
async def test_an_error_is_named_by_its_own_line(
    queue: Queue, sync: Redis, trace: str, error: str | None
) -> None:
    await queue.push(JOB)
    sync.hset(f"rq:job:{JOB.id}", "status", "failed")
    sync.xadd(f"rq:results:{JOB.id}", {"type": 2, "exc_string": b64encode(zlib.compress(trace.encode()))})
    assert (await look(queue)).error == error


async def test_jobs_of_a_long_list_are_found_where_they_stand(queue: Queue, sync: Redis) -> None:
    ids = [f"job-{number}" for number in range(2500)]
    sync.rpush(f"rq:queue:{NAME}", *ids[1:])
    sync.rpush(f"rq:queue:{NAME}:intermediate", ids[0])
    assert await queue.find_listed(ids) == set(ids)
    assert await queue.find_listed(["job-0", "job-1", "job-1000", "job-2499", "job-2500"]) == {
        *("job-0", "job-1", "job-1000", "job-2499")
    }
    assert await queue.find_listed([]) == set()


async def test_what_is_taken_and_pushed_during_a_search_hides_nothing(queue: Queue, sync: Redis) -> None:
    ids = [f"job-{number}" for number in range(3 * PIECE)]
    sync.rpush(f"rq:queue:{NAME}", *ids)

    def call(*command: Any) -> "asyncio.Future[Any]":
        found = sync.lrange(*command[1:])
        sync.lpop(f"rq:queue:{NAME}", 100)
        sync.rpush(f"rq:queue:{NAME}", *(f"new-{number}" for number in range(100)))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_result(found)
        return answer

    waiting = ids[1000:]
    assert await find_listed(call, NAME, waiting) == set(waiting)


async def test_looking_at_a_job_that_rq_found_abandoned_gives_the_reason(queue: Queue, sync: Redis) -> None:
    await queue.push(attrs.evolve(JOB, retries_left=0, retry_intervals=()))
    begin(sync, ttl=-1)
    StartedJobRegistry(NAME, connection=sync).cleanup()
    seen = await look(queue)
    assert seen.status == "failed"
    assert "AbandonedJobError" in str(seen.error)


async def test_looking_at_a_job_that_rq_found_never_started_gives_the_reason(
    queue: Queue, sync: Redis, rq: RQQueue
) -> None:
    await queue.push(attrs.evolve(JOB, retries_left=0, retry_intervals=()))
    RQQueue.dequeue_any([rq], None, connection=sync)
    stuck = IntermediateQueue(rq.key, connection=sync)
    sync.set(stuck.get_first_seen_key(JOB.id), time.time() - 61)
    stuck.cleanup(Worker([NAME], connection=sync), rq)
    seen = await look(queue)
    assert seen.status == "failed"
    assert "stuck in intermediate queue" in str(seen.error)
