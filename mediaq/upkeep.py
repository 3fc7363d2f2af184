"""What runs beside requests and jobs, for any kind of worker: schedule, reconcile, erase, tell, trim."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from loguru import logger
from redis.exceptions import RedisError

from mediaq.delivery import open_deliverer
from mediaq.erasure import clear_due
from mediaq.errors import reason_of
from mediaq.queue.retention import trim
from mediaq.queue.scheduler import Scheduler
from mediaq.reconciler import Reconciler
from mediaq.resources import Resources
from mediaq.store import budgets, leases
from mediaq.store.pool import AWAY as POSTGRES_AWAY

AWAY = (RedisError, *POSTGRES_AWAY)
# RQ's own scheduler looks once a second.
SCHEDULE_INTERVAL = 1.0

Act = Callable[[], Awaitable[object]]


@asynccontextmanager
async def upkeep(resources: Resources) -> AsyncIterator[None]:
    """Keeps the queues moving while the block runs, whatever workers they have.

    Args:
        resources: Store, queues and settings.
    """
    scheduler = Scheduler(tuple(resources.queues), resources.redis)
    interval = resources.settings.upkeep.interval
    try:
        async with (
            reconciling(resources),
            erasing(resources),
            delivering(resources),
            _repeating("scheduling", SCHEDULE_INTERVAL, scheduler.move_due),
            _repeating("trimming", interval, lambda: _trim(resources)),
            _repeating("adding up budgets", interval, lambda: budgets.add_up(resources.store)),
        ):
            yield
    finally:
        with suppress(*AWAY):
            await scheduler.close()


@asynccontextmanager
async def reconciling(resources: Resources) -> AsyncIterator[None]:
    """Compares open jobs with Redis while the block runs; of all processes that do, one at a time does it.

    Args:
        resources: Store, queues and settings.
    """
    # A process may have several: a service, and a worker beside it.
    reconciler = Reconciler(resources, f"{leases.name_owner()}:{uuid.uuid4().hex}")
    try:
        async with _repeating("reconciling", resources.settings.upkeep.interval, reconciler.run):
            yield
    finally:
        with suppress(*AWAY):
            await reconciler.close()


@asynccontextmanager
async def erasing(resources: Resources) -> AsyncIterator[None]:
    """Clears up after deleted jobs while the block runs; processes that do so share the work.

    Args:
        resources: Store, queues, AWS and settings.
    """
    interval = resources.settings.upkeep.interval
    async with _repeating("erasing", interval, lambda: clear_due(resources)):
        yield


@asynccontextmanager
async def delivering(resources: Resources) -> AsyncIterator[None]:
    """Tells jobs' ends while the block runs, where the settings list whom; processes share the work.

    Args:
        resources: Store and settings.
    """
    if not resources.settings.webhooks.enabled:
        yield
        return
    interval = resources.settings.webhooks.look
    async with open_deliverer(resources) as deliverer, _repeating("telling", interval, deliverer.look):
        yield


@asynccontextmanager
async def _repeating(what: str, seconds: float, act: Act) -> AsyncIterator[None]:
    stop = asyncio.Event()
    loop = asyncio.create_task(_repeat(what, seconds, act, stop))
    try:
        yield
    finally:
        # Asked to stop, not cancelled: a pass ends by itself within the servers' timeouts, and Python 3.11
        # may lose a cancellation that meets the end of a timeout.
        stop.set()
        await loop


async def _repeat(what: str, seconds: float, act: Act, stop: asyncio.Event) -> None:
    """Acts again and again; a server that is away, or a fault, delays it and never ends it."""
    while not stop.is_set():
        try:
            await act()
        except AWAY as error:
            logger.warning("{} waits: {}", what, reason_of(error))
        except Exception:  # noqa: BLE001 - a fault in one pass must not end those to come
            logger.exception("{} failed", what)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


async def _trim(resources: Resources) -> None:
    for name in resources.queues:
        await trim(resources.redis, name, resources.settings.queues.named(name).keep_completed_count)
