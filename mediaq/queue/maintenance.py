"""What a worker does beside its jobs: the scheduler, RQ's clean-up, retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError
from rq import worker_registration
from rq.queue import Queue as RQQueue
from rq.rate_limit import RateLimitRegistry
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ReadyJobRegistry

from mediaq.queue.retention import trim
from mediaq.queue.scheduler import Scheduler

if TYPE_CHECKING:
    from mediaq.queue.worker import AsyncWorker

# Seconds between two looks for jobs that are due; RQ's scheduler takes as long.
SCHEDULE_EVERY = 1.0
# Seconds between two passes over the finished jobs; our own ends keep the limit by themselves.
TRIM_EVERY = 15.0


@asynccontextmanager
async def keep_house(
    worker: AsyncWorker, redis: Redis, *, burst: bool, schedule: bool
) -> AsyncIterator[None]:
    """Keeps the worker's queues in order while the block runs.

    Args:
        worker: The worker.
        redis: A client.
        burst: Whether the worker stops when its queues are empty: then one look is enough.
        schedule: Whether a burst moves the jobs that are due.
    """
    scheduler = Scheduler(worker.queue_names(), redis, worker.name)
    if burst:
        if schedule:
            await scheduler.move_due()
            await scheduler.close()
        await worker.threads.run(lambda: clean_up(worker))
        yield
        return
    stop = asyncio.Event()
    loops = [
        asyncio.create_task(_every(SCHEDULE_EVERY, stop, worker, "scheduling", scheduler.move_due)),
        asyncio.create_task(_every(TRIM_EVERY, stop, worker, "retention", lambda: _trim(worker, redis))),
        asyncio.create_task(
            _every(
                worker.maintenance_interval,
                stop,
                worker,
                "maintenance",
                lambda: worker.threads.run(lambda: clean_up(worker)),
            )
        ),
    ]
    try:
        yield
    finally:
        # Asked to stop, not cancelled: a pass is short, and a cancellation may get lost in a timeout.
        stop.set()
        await asyncio.gather(*loops)
        with suppress(RedisError, OSError):
            await scheduler.close()


async def _every(
    seconds: float, stop: asyncio.Event, worker: AsyncWorker, what: str, act: Callable[[], Awaitable[object]]
) -> None:
    while not stop.is_set():
        try:
            await act()
        except (RedisError, OSError) as error:
            worker.log.warning("Worker %s: %s waits: %s", worker.name, what, error)
        except Exception:
            worker.log.exception("Worker %s: %s failed", worker.name, what)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


async def _trim(worker: AsyncWorker, redis: Redis) -> None:
    for name in worker.queue_names():
        await trim(redis, name, worker.options.keep_finished.get(name))


def clean_up(worker: AsyncWorker) -> None:
    """Does what RQ's maintenance does, but for dead workers' jobs: the heart takes those over.

    RQ's own clean-up would fail them, and import their callbacks unchecked.
    """
    connection, serializer = worker.connection, worker.serializer
    for name in worker.queue_names():
        for registry in (FinishedJobRegistry, FailedJobRegistry, ReadyJobRegistry):
            registry(name, connection=connection, serializer=serializer).cleanup()
        worker_registration.clean_worker_registry(RQQueue(name, connection=connection))
    for limit in RateLimitRegistry.all(connection):
        limit.cleanup()
    worker.clean_group_registries()  # type: ignore[no-untyped-call]
