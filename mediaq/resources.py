"""The one composition root: opens what a process works with, and closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from attrs import frozen
from redis.asyncio import Redis

from mediaq.aws.clients import open_aws
from mediaq.aws.limits import make_limits
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.converter import Converter
from mediaq.pipelines.holds import Holds
from mediaq.pipelines.inflight import open_inflight
from mediaq.pipelines.notices import open_notices
from mediaq.pipelines.operation import Tools
from mediaq.queue.clients import Heedful
from mediaq.queue.queue import Queue
from mediaq.queue.shutdown import CLEANING_UP
from mediaq.settings import Settings
from mediaq.store.pool import Store, open_store

# The share of a worker's grace period that is left for paid calls when the jobs have been handed back.
LAST_SHARE = CLEANING_UP


@frozen
class Resources:
    """All that a process works with.

    Args:
        settings: The settings.
        store: Postgres.
        redis: Redis, for short commands.
        queues: The queues, by job type.
        tools: What operations work with.
    """

    settings: Settings
    store: Store
    redis: Redis
    queues: Mapping[str, Queue]
    tools: Tools

    def may_claim(self, queue: str) -> bool:
        """Tells whether a worker should take jobs of a queue now: not where they would only wait.

        Jobs of other queues than mediaq's own need neither Postgres nor a provider.
        """
        return queue not in self.queues or not (self.store.link.awaited or self.tools.holds.is_held(queue))


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Opens clients and pools, none of which connects before it is used, and closes them.

    Args:
        settings: The settings.
    """
    async with (
        open_store(settings.database) as store,
        open_aws(settings.aws) as aws,
        httpx.AsyncClient() as http,
        open_redis(settings) as redis,
        open_notices(aws, redis, settings.completion) as notices,
        open_inflight(settings.worker.grace * LAST_SHARE) as inflight,
    ):
        queues = {name: Queue(name, redis) for name in PIPELINES}
        limits, converter = make_limits(redis, settings), Converter(aws, settings.image)
        tools = Tools(settings, store, aws, redis, http, inflight, Holds(), limits, converter, notices)
        yield Resources(settings, store, redis, queues, tools)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """Yields a client whose commands fail after the timeout, without repeating any."""
    redis = Heedful.from_url(
        settings.redis.url,
        socket_timeout=settings.redis.timeout,
        socket_connect_timeout=settings.redis.timeout,
    )
    try:
        yield redis
    finally:
        await redis.aclose()
