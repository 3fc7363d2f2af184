"""The one composition root: opens what a process works with, and closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext

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
from mediaq.telemetry.meters import Meters, Value
from mediaq.telemetry.telemetry import Telemetry, open_telemetry

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
        telemetry: Told of what is done.
    """

    settings: Settings
    store: Store
    redis: Redis
    queues: Mapping[str, Queue]
    tools: Tools
    telemetry: Telemetry

    def may_claim(self, queue: str) -> bool:
        """Tells whether a worker should take jobs of a queue now: not where they would only wait.

        Jobs of other queues than mediaq's own need neither Postgres nor a provider.
        """
        return queue not in self.queues or not (self.store.link.awaited or self.tools.holds.is_held(queue))


@asynccontextmanager
async def open_resources(settings: Settings, telemetry: Telemetry | None = None) -> AsyncIterator[Resources]:
    """Opens clients and pools, none of which connects before it is used, and closes them.

    Args:
        settings: The settings.
        telemetry: Told of what is done; None: one of its own, as the settings say.
    """
    opening = nullcontext(telemetry) if telemetry else open_telemetry(traces=settings.traces.enabled)
    async with opening as told, _open_servers(settings, told) as resources:
        yield resources


@asynccontextmanager
async def _open_servers(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Resources]:
    async with (
        open_store(settings.database, telemetry.meters) as store,
        open_aws(settings.aws, telemetry.call) as aws,
        httpx.AsyncClient() as http,
        open_redis(settings) as redis,
        open_notices(aws, redis, settings.completion) as notices,
        open_inflight(settings.worker.grace * LAST_SHARE) as inflight,
    ):
        queues = {name: Queue(name, redis) for name in PIPELINES}
        limits, converter = make_limits(redis, settings), Converter(aws, settings.image)
        tools = Tools(
            settings, store, aws, redis, http, inflight, Holds(), limits, converter, notices, telemetry
        )
        with _showing(store, telemetry.meters):
            yield Resources(settings, store, redis, queues, tools, telemetry)


@contextmanager
def _showing(store: Store, meters: Meters) -> Iterator[None]:
    def connections() -> Iterator[Value]:
        idle = store.pool.get_idle_size()
        yield ("used",), store.pool.get_size() - idle
        yield ("idle",), idle
        yield ("room",), store.pool.get_max_size() - store.pool.get_size()

    with (
        meters.showing(
            "postgres_connections", "Connections to Postgres, and room for more.", ("state",), connections
        ),
        meters.showing(
            "writes_waiting", "Writes that are not on record yet.", (), lambda: [((), store.writer.waiting)]
        ),
    ):
        yield


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
