"""Delayed jobs move to their queues, and progress to those who listen, beside stock RQ."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import foreign
import pytest
from queue_kit import JOB, NAME, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from rq.job import Job as RQJob
from rq.scheduler import RQScheduler

from mediaq.queue import progress
from mediaq.queue.queue import Queue
from mediaq.queue.scheduler import Scheduler

pytest_plugins = ["queue_fixtures"]


def schedule(rq: RQQueue, seconds: int, job_id: str = JOB.id, **options: Any) -> None:
    rq.enqueue_at(
        datetime.now(UTC) + timedelta(seconds=seconds), foreign.shout, "a", job_id=job_id, **options
    )


@pytest.fixture
async def scheduler(sync: Redis) -> AsyncIterator[Scheduler]:
    ours = Scheduler([NAME], sync)
    yield ours
    await ours.close()


@pytest.fixture
def stock(sync: Redis) -> Iterator[RQScheduler]:
    theirs = RQScheduler([NAME], connection=sync, logging_level="ERROR")
    yield theirs
    theirs.release_locks()
    theirs.connection.connection_pool.disconnect()


async def test_due_jobs_are_moved_and_others_wait(
    scheduler: Scheduler, queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    schedule(rq, -1, "due")
    schedule(rq, 60, "early")
    await scheduler.move_due()
    assert rq.job_ids == ["due"]
    assert [seen.status for seen in await queue.look(["due", "early"])] == ["queued", "scheduled"]
    work(sync)
    assert RQJob.fetch("due", connection=sync).return_value() == "A"


async def test_while_a_stock_scheduler_holds_the_lock_ours_moves_nothing(
    scheduler: Scheduler, stock: RQScheduler, rq: RQQueue
) -> None:
    schedule(rq, -1)
    assert stock.acquire_locks() == {NAME}
    await scheduler.move_due()
    assert rq.job_ids == []
    stock.release_locks()
    await scheduler.move_due()
    assert rq.job_ids == [JOB.id]


async def test_while_ours_holds_the_lock_a_stock_scheduler_gets_none(
    scheduler: Scheduler, stock: RQScheduler
) -> None:
    await scheduler.move_due()
    assert stock.acquire_locks() == set()
    await scheduler.close()
    assert stock.acquire_locks() == {NAME}


async def test_closing_leaves_no_connection(redis: AsyncRedis, sync: Redis) -> None:
    async def connections() -> int:
        return len(await redis.client_list())

    before = await connections()
    ours = Scheduler([NAME], sync)
    await ours.move_due()
    assert await connections() > before
    await ours.close()
    async with asyncio.timeout(5):
        while await connections() > before:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_moving_a_job_resolves_nothing_of_its_payload_and_changes_none(
    scheduler: Scheduler, rq: RQQueue, sync: Redis
) -> None:
    """A producer's own classes are nothing to the scheduler, nor do they hold up the jobs behind them."""
    schedule(rq, -2, "foreign", meta={"kind": foreign.Unwelcome()})
    schedule(rq, -1, "plain")
    payload = sync.hmget("rq:job:foreign", "data", "meta")
    foreign.resolved.clear()
    await scheduler.move_due()
    assert foreign.resolved == []
    assert rq.job_ids == ["foreign", "plain"]
    assert sync.hmget("rq:job:foreign", "data", "meta") == payload
    assert isinstance(RQJob.fetch("foreign", connection=sync).meta["kind"], foreign.Unwelcome)
    assert foreign.resolved == ["Unwelcome"]


async def test_progress_stands_in_the_meta_and_is_told_to_listeners(
    queue: Queue, redis: AsyncRedis, sync: Redis
) -> None:
    await queue.push(JOB)
    async with redis.pubsub() as listener:
        await listener.subscribe(progress.channel(JOB.id))
        await listener.get_message(timeout=5)
        await progress.publish(redis, JOB.id, {"progress": {"current": 1}})
        message = await listener.get_message(ignore_subscribe_messages=True, timeout=5)
    assert RQJob.fetch(JOB.id, connection=sync).meta == {"progress": {"current": 1}}
    assert message is not None
    assert json.loads(message["data"]) == {"progress": {"current": 1}}


async def test_progress_does_not_bring_a_forgotten_job_back(redis: AsyncRedis, sync: Redis) -> None:
    await progress.publish(redis, JOB.id, {"progress": {}})
    assert sync.keys() == []
