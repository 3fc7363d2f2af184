"""Delayed jobs move to their queues, and progress to those who listen, beside stock RQ."""

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import foreign
import psutil
import pytest
from processes import kill_family
from queue_kit import JOB, NAME, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from rq import Retry
from rq.job import Job as RQJob
from rq.rate_limit import RateLimit
from rq.registry import ScheduledJobRegistry
from rq.repeat import Repeat
from rq.scheduler import RQScheduler
from supervised import until

from mediaq.queue import events, keys, scheduler
from mediaq.queue.scheduler import Scheduler

pytest_plugins = ["queue_fixtures"]

BIN = Path(sys.executable).parent


def schedule(rq: RQQueue, seconds: int, job_id: str = JOB.id, **options: Any) -> None:
    rq.enqueue_at(
        datetime.now(UTC) + timedelta(seconds=seconds), foreign.shout, "a", job_id=job_id, **options
    )


def statuses(sync: Redis, *job_ids: str) -> list[str]:
    return [RQJob.fetch(job_id, connection=sync).get_status() for job_id in job_ids]


@pytest.fixture
async def ours(redis: AsyncRedis) -> AsyncIterator[Scheduler]:
    ours = Scheduler([NAME], redis)
    yield ours
    await ours.close()


@pytest.fixture
def stock(sync: Redis) -> Iterator[RQScheduler]:
    theirs = RQScheduler([NAME], connection=sync, logging_level="ERROR")
    yield theirs
    theirs.release_locks()
    theirs.connection.connection_pool.disconnect()


# Moving


async def test_due_jobs_are_moved_and_others_wait(ours: Scheduler, rq: RQQueue, sync: Redis) -> None:
    schedule(rq, -1, "due")
    schedule(rq, 60, "early")
    assert await ours.move_due() == 1
    assert rq.job_ids == ["due"]
    assert statuses(sync, "due", "early") == ["queued", "scheduled"]
    work(sync)
    assert RQJob.fetch("due", connection=sync).return_value() == "A"
    assert await ours.move_due() == 0


def delay_all_kinds(sync: Redis, rq: RQQueue) -> None:
    """Leave a job of each kind that RQ treats in a way of its own, due in this order, and one that is not."""
    again_in_front = Retry(max=1, interval=60, enqueue_at_front=True)
    rq.enqueue(foreign.fail, job_id="retried", retry=again_in_front)
    rq.enqueue(foreign.shout, "a", job_id="repeated", repeat=Repeat(times=1, interval=60))
    rq.enqueue(foreign.fail, job_id="limited", retry=again_in_front, rate_limit=RateLimit("other", 1))
    work(sync)
    schedule(rq, -60, "plain")
    schedule(rq, -59, "front", at_front=True)
    schedule(rq, -58, "first-time", retry=again_in_front)
    schedule(rq, -57, "gone")
    schedule(rq, -56, "brief", ttl=600)
    rq.enqueue(foreign.shout, "a", job_id="dependent", depends_on="brief")
    schedule(rq, -55, "timeless")
    schedule(rq, -54, "let-in", rate_limit=RateLimit("limit", 2))
    schedule(rq, -53, "let-in-front", rate_limit=RateLimit("limit", 2), at_front=True)
    schedule(rq, -52, "kept-out", rate_limit=RateLimit("limit", 2), ttl=600)
    schedule(rq, 600, "early")
    sync.zadd(keys.scheduled(NAME), {"retried": 1, "repeated": 2, "limited": time.time() - 51})
    sync.delete(keys.job("gone"))
    sync.hdel(keys.job("timeless"), "timeout")


@contextmanager
def put_back(sync: Redis) -> Iterator[None]:
    """Restore in the end what the block has changed."""
    before = {key: (sync.dump(key) or b"", max(sync.pttl(key), 0)) for key in sync.scan_iter()}
    yield
    sync.flushdb()
    for key, (dump, ttl) in before.items():
        sync.restore(key, ttl, dump)


def content(sync: Any, key: bytes) -> Any:
    readers: dict[bytes, Callable[[], Any]] = {
        # RQ writes fields that it has no value for as empty ones.
        b"hash": lambda: {field: value for field, value in sync.hgetall(key).items() if value},
        b"zset": lambda: sync.zrange(key, 0, -1, withscores=True),
        b"list": lambda: sync.lrange(key, 0, -1),
        b"set": lambda: sync.smembers(key),
        b"stream": lambda: sync.xrange(key),
        b"string": lambda: sync.get(key),
    }
    return readers[sync.type(key)]()


def alike(value: Any) -> Any:
    """Make times of day alike, and epoch seconds of this minute."""
    if isinstance(value, dict):
        return {key: alike(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [alike(item) for item in value]
    if isinstance(value, float) and abs(value - time.time()) < 50:
        return "now"
    if isinstance(value, bytes):
        return re.sub(rb"^20[-0-9]+T[.:0-9]+Z$", b"a time", value)
    return value


def picture(sync: Redis, scheduler: str) -> dict[bytes, Any]:
    """Describe all that is in Redis, with times to live in tens of seconds; schedulers count as the same."""
    found = {key: (alike(content(sync, key)), round(sync.ttl(key), -1)) for key in sync.scan_iter()}
    fields, ttl = found.pop(f"rq:scheduler:{scheduler}".encode())
    lock = found.pop(keys.scheduler_lock(NAME).encode())
    assert (fields.pop(b"name"), lock) == (scheduler.encode(), (scheduler.encode(), ttl))
    return {**found, b"rq:scheduler": (fields, ttl)}


async def test_all_kinds_of_jobs_are_left_as_rqs_scheduler_leaves_them(
    ours: Scheduler, stock: RQScheduler, rq: RQQueue, sync: Redis
) -> None:
    delay_all_kinds(sync, rq)
    with put_back(sync):
        stock.acquire_locks()
        stock.register_birth()
        stock.heartbeat()
        stock.enqueue_scheduled_jobs()
        theirs = picture(sync, stock.name)
    assert await ours.move_due() == 11
    assert picture(sync, ours.name) == theirs
    front = ["limited", "let-in-front", "front", "retried"]
    assert rq.job_ids == [*front, "repeated", "plain", "first-time", "brief", "timeless", "let-in"]
    assert statuses(sync, "kept-out", "early") == ["rate_limited", "scheduled"]


async def test_moving_a_job_resolves_nothing_of_its_payload_and_changes_none(
    ours: Scheduler, rq: RQQueue, sync: Redis
) -> None:
    """A producer's own classes are nothing to the scheduler, nor do they hold up the jobs behind them."""
    schedule(rq, -2, "foreign", meta={"kind": foreign.Unwelcome()})
    schedule(rq, -1, "plain")
    payload = sync.hmget("rq:job:foreign", "data", "meta")
    foreign.resolved.clear()
    await ours.move_due()
    assert foreign.resolved == []
    assert rq.job_ids == ["foreign", "plain"]
    assert sync.hmget("rq:job:foreign", "data", "meta") == payload
    assert isinstance(RQJob.fetch("foreign", connection=sync).meta["kind"], foreign.Unwelcome)
    assert foreign.resolved == ["Unwelcome"]


async def test_a_backlog_is_moved_in_order_in_small_steps_and_no_queue_holds_up_another(
    redis: AsyncRedis, sync: Redis, rq: RQQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "BATCH", 20)
    other = RQQueue("other", connection=sync)
    for seconds in range(-100, 0):
        schedule(rq, seconds, f"due{seconds}")
    schedule(other, -1, "other")
    ours = Scheduler([NAME, "other"], redis)
    monkeypatch.setattr(scheduler, "MOST_CALLS", 1)
    assert await ours.move_due() == 11
    assert other.job_ids == ["other"]
    monkeypatch.setattr(scheduler, "MOST_CALLS", 100)
    assert await ours.move_due() == 90
    assert rq.job_ids == [f"due{seconds}" for seconds in range(-100, 0)]


async def test_looking_at_all_queues_takes_one_round_trip(redis: AsyncRedis, sync: Redis) -> None:
    ours = Scheduler([f"queue-{number}" for number in range(10)], redis)
    await ours.move_due()
    sync.config_resetstat()
    await ours.move_due()
    stats = sync.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    # The others are the script's own, and the test's.
    scripts = {"cmdstat_get", "cmdstat_set", "cmdstat_hset", "cmdstat_expire", "cmdstat_zrangebyscore"}
    assert set(stats) - scripts <= {"cmdstat_evalsha", "cmdstat_config|resetstat", "cmdstat_info"}


# Among others


async def test_while_a_stock_scheduler_holds_the_lock_ours_moves_nothing(
    ours: Scheduler, stock: RQScheduler, rq: RQQueue
) -> None:
    schedule(rq, -1)
    assert stock.acquire_locks() == {NAME}
    assert await ours.move_due() == 0
    assert rq.job_ids == []
    stock.release_locks()
    assert await ours.move_due() == 1
    assert rq.job_ids == [JOB.id]


async def test_while_ours_holds_the_lock_a_stock_scheduler_gets_none(
    ours: Scheduler, stock: RQScheduler
) -> None:
    await ours.move_due()
    assert stock.acquire_locks() == set()
    await ours.close()
    assert stock.acquire_locks() == {NAME}


async def test_closing_leaves_anothers_lock_alone(ours: Scheduler, stock: RQScheduler, sync: Redis) -> None:
    stock.acquire_locks()
    await ours.move_due()
    await ours.close()
    assert sync.get(keys.scheduler_lock(NAME)) == stock.name.encode()


async def test_a_lock_outlives_its_holders_last_pass_by_as_long_as_rqs_own(
    ours: Scheduler, stock: RQScheduler, sync: Redis
) -> None:
    stock.acquire_locks()
    theirs = sync.ttl(keys.scheduler_lock(NAME))
    stock.release_locks()
    await ours.move_due()
    sync.expire(keys.scheduler_lock(NAME), 5)
    await ours.move_due()
    assert theirs - 1 <= sync.ttl(keys.scheduler_lock(NAME)) <= theirs


async def test_rqs_tools_find_the_process_that_schedules(ours: Scheduler, rq: RQQueue, sync: Redis) -> None:
    await ours.move_due()
    found = RQScheduler.fetch(ours.name, sync)
    pids = [found.pid, rq.scheduler_pid]
    await ours.close()
    assert [*pids, rq.scheduler_pid] == [os.getpid(), os.getpid(), None]
    assert found._queue_names == {NAME}
    assert found.last_heartbeat is not None
    assert datetime.now(UTC) - found.last_heartbeat < timedelta(seconds=5)
    assert not sync.exists(found.key)


async def test_a_scheduler_that_holds_no_queue_is_not_shown(
    ours: Scheduler, stock: RQScheduler, sync: Redis
) -> None:
    stock.acquire_locks()
    await ours.move_due()
    assert not sync.exists(f"rq:scheduler:{ours.name}")


@pytest.mark.parametrize("names", [("a", "b"), ("same", "same")])
async def test_schedulers_that_move_at_once_move_each_job_once(
    redis: AsyncRedis, rq: RQQueue, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one name both take themselves for the holder of the lock."""
    monkeypatch.setattr(scheduler, "BATCH", 7)
    for number in range(200):
        schedule(rq, -1, f"due-{number}")
    both = [Scheduler([NAME], redis, name) for name in names]
    moved = await asyncio.gather(*(each.move_due() for each in both))
    assert sum(moved) == 200
    assert all(moved) == (len(set(names)) == 1)
    assert Counter(rq.job_ids) == {f"due-{number}": 1 for number in range(200)}


async def test_beside_a_stock_worker_with_a_scheduler_each_job_runs_once_though_the_holder_dies(
    ours: Scheduler, rq: RQQueue, sync: Redis, redis_url: str
) -> None:
    job_ids = [f"{when}-{number}" for when in ("now", "soon", "later") for number in range(20)]
    for job_id in job_ids:
        schedule(rq, {"now": -1, "soon": 1, "later": 2}[job_id.split("-")[0]], job_id)
    options = ["--with-scheduler", "--quiet", "--url", redis_url, "--path", str(Path(__file__).parent)]
    worker = await asyncio.create_subprocess_exec(BIN / "rq", "worker", *options, NAME)
    try:
        await until(lambda: rq.scheduler_pid not in (None, os.getpid()))
        pid = rq.scheduler_pid
        assert pid is not None
        assert await ours.move_due() == 0
        await until(lambda: RQJob.fetch("now-19", connection=sync).is_finished)
        psutil.Process(pid).kill()
        # What would take a minute.
        sync.delete(keys.scheduler_lock(NAME))
        async with asyncio.timeout(10):
            while ScheduledJobRegistry(NAME, connection=sync).count:
                await ours.move_due()
                await asyncio.sleep(0.05)
        await until(lambda: set(statuses(sync, *job_ids)) == {"finished"})
    finally:
        kill_family(worker.pid)
        await worker.wait()
    assert rq.scheduler_pid == os.getpid()
    assert {len(RQJob.fetch(job_id, connection=sync).results()) for job_id in job_ids} == {1}


# Progress


async def test_progress_stands_in_the_meta_and_is_told_to_listeners(
    redis: AsyncRedis, sync: Redis, rq: RQQueue
) -> None:
    rq.enqueue(foreign.shout, "a", job_id=JOB.id)
    tail = events.Tail(redis)
    assert await tail.load() == []
    meta = {"progress": {"current": 1}}
    await events.announce(
        redis, JOB.id, [("progress", '{"current": 1}'), ("completed", "")], queue=NAME, share="ann", meta=meta
    )
    told = await tail.read()
    await tail.close()
    assert RQJob.fetch(JOB.id, connection=sync).meta == meta
    assert [(entry.event, entry.data) for entry in told] == [
        ("progress", b'{"current": 1}'),
        ("completed", b""),
    ]
    assert {(entry.job_id, entry.queue, entry.share) for entry in told} == {(JOB.id, NAME, "ann")}
    assert told[0].place < told[1].place == tail.place


async def test_progress_does_not_bring_a_forgotten_job_back(redis: AsyncRedis, sync: Redis) -> None:
    await events.announce(redis, JOB.id, [("progress", "{}")], queue=NAME, meta={"progress": {}})
    assert sync.keys() == [keys.EVENTS.encode()]


async def test_the_stream_of_events_stays_short(redis: AsyncRedis, sync: Redis) -> None:
    many = [("progress", "{}")] * 500
    for _ in range(events.KEPT // 500 + 3):
        await events.announce(redis, JOB.id, many, queue=NAME)
    assert events.KEPT <= sync.xlen(keys.EVENTS) < events.KEPT + 200
