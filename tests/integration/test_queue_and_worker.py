"""A producer and a worker that are both ours."""

import asyncio
import time
from collections.abc import AsyncIterator

import chores
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from worker_kit import NAME, at_work, make_worker, until

from mediaq import Queue
from mediaq.queue import keys
from mediaq.queue.backoff import Backoff
from mediaq.queue.handle import Handle, JobFailed

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@pytest.fixture
async def queue(redis: AsyncRedis, sync: Redis, stock: RQQueue) -> AsyncIterator[Queue]:
    """The queue of chores, and a worker at work on it."""
    with at_work(make_worker(sync)):
        yield Queue(NAME, redis)


async def becomes(job: Handle, status: str, sync: Redis) -> None:
    """Wait until the worker has brought a job so far."""
    await asyncio.to_thread(until, lambda: sync.hget(keys.job(job.id), "status") == status.encode())


async def test_results_are_what_functions_returned(queue: Queue) -> None:
    jobs = await queue.enqueue_many([queue.prepare(chores.note, number) for number in range(200)])
    jobs.append(await queue.enqueue("chores.anote", {"a": [None, 1.5, "é"]}))
    results = await asyncio.gather(*(job.result(timeout=20) for job in jobs))
    assert results == [*range(200), {"a": [None, 1.5, "é"]}]


async def test_a_job_waits_for_others_and_takes_no_longer_than_they_do(queue: Queue, sync: Redis) -> None:
    first = await queue.enqueue(chores.hold, "first")
    second = await queue.enqueue(chores.note, "second", depends_on=first)
    await becomes(first, "started", sync)
    assert chores.noted == []
    chores.release()
    assert await second.result(timeout=10) == "second"
    assert chores.noted == ["first", "second"]


async def test_a_running_job_that_is_cancelled_stops_within_a_tenth_of_a_second(
    queue: Queue, sync: Redis
) -> None:
    job = await queue.enqueue(chores.hold, "never")
    await becomes(job, "started", sync)
    cancelled = time.perf_counter()
    assert await job.cancel()
    await asyncio.to_thread(until, lambda: not chores.room.inside)
    assert time.perf_counter() - cancelled < 0.1
    with pytest.raises(JobFailed, match="canceled"):
        await job.result(timeout=5)
    assert (await queue.counts()).active == 0


async def test_a_job_is_run_again_as_often_as_it_may_and_then_tells_why_it_failed(queue: Queue) -> None:
    job = await queue.enqueue(chores.afail, retry=2)
    with pytest.raises(JobFailed, match="ValueError"):
        await job.result(timeout=10)
    view = await job.fetch()
    assert view is not None
    assert (view.status, view.retries_left) == ("failed", 0)


async def test_the_error_of_an_attempt_is_readable_while_the_next_one_is_waited_for(
    queue: Queue, sync: Redis
) -> None:
    job = await queue.enqueue(chores.afail, retry=1, backoff=Backoff(60))
    await becomes(job, "scheduled", sync)
    view = await job.fetch()
    assert view is not None
    assert "ValueError" in str(view.error)
    assert view.due_at is not None
    await queue.requeue(job.id)
    with pytest.raises(JobFailed, match="ValueError"):
        await job.result(timeout=10)


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(queue: Queue) -> None:
    await queue.pause()
    job = await queue.enqueue(chores.note, "late")
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.3)
    assert (await queue.counts()).paused == 1
    await queue.resume()
    assert await job.result(timeout=10) == "late"
