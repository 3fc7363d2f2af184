"""What a service does beside its requests, so that stock workers need no flags: schedule, reconcile, trim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from loguru import logger
from redis import Redis
from redis.exceptions import RedisError

from mediaq.queue.scheduler import Scheduler
from mediaq.reconciler import reconcile
from mediaq.resources import Resources
from mediaq.store import leases
from mediaq.store.pool import AWAY as POSTGRES_AWAY

AWAY = (RedisError, *POSTGRES_AWAY)
# RQ's own scheduler looks once a second.
SCHEDULE_INTERVAL = 1.0


@asynccontextmanager
async def upkeep(resources: Resources) -> AsyncIterator[None]:
    """Keeps the queues moving while the block runs.

    Args:
        resources: Store, queues and settings.
    """
    owner = leases.name_owner()
    settings = resources.settings
    redis = Redis.from_url(settings.redis.url, socket_timeout=settings.redis.timeout)
    scheduler = Scheduler(tuple(resources.queues), redis)
    interval = settings.upkeep.interval
    stop = asyncio.Event()
    loops = [
        asyncio.create_task(_every(SCHEDULE_INTERVAL, stop, "scheduling", scheduler.move_due)),
        asyncio.create_task(_every(interval, stop, "reconciling", lambda: reconcile(resources, owner))),
        asyncio.create_task(_every(interval, stop, "trimming", lambda: _trim(resources))),
    ]
    try:
        yield
    finally:
        # Asked to stop, not cancelled: a pass ends by itself within the servers' timeouts, and Python 3.11
        # may lose a cancellation that meets the end of a timeout.
        stop.set()
        await asyncio.gather(*loops)
        with suppress(*AWAY):
            await scheduler.close()
            await leases.drop(resources.store, "reconciler", owner)
        redis.close()


async def _every(seconds: float, stop: asyncio.Event, what: str, act: Callable[[], Awaitable[None]]) -> None:
    """Acts again and again; a server that is away, or a fault, delays it and never ends it."""
    while not stop.is_set():
        try:
            await act()
        except AWAY as error:
            logger.warning("{} waits: {}", what, str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001 - a fault in one pass must not end those to come
            logger.exception("{} failed", what)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


async def _trim(resources: Resources) -> None:
    for name, queue in resources.queues.items():
        await queue.trim(resources.settings.queues.named(name).keep_completed_count)
