"""Clients like the one RQ gave a worker: one on asyncio for its loop, an impatient one for its heart."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as aio
from redis import Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool
from rq.connections import get_connection_kwargs

# What only one of the two kinds of connections takes, or what is set here.
_OWN = ("retry", "retry_on_error", "retry_on_timeout", "parser_class", "connection_pool", "driver_info")


class Heedful(aio.Redis):
    """A client whose commands end when their task is cancelled.

    redis-py sends commands through `asyncio.wait_for`, which before Python 3.12 drops a cancellation that
    comes when all is sent: the task would go on as if nobody had cancelled it.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Executes a command; its effect may be there, too, where the task is cancelled."""
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if task and task.cancelling() > before:
                raise asyncio.CancelledError


def open_async(connection: Redis, timeout: float) -> aio.Redis:
    """Returns an asyncio client for the same server and database, which repeats no command.

    Args:
        connection: A client of redis-py, of a TCP or Unix socket, with TLS, or of a Sentinel's master.
        timeout: Seconds a command may take.
    """
    pool = connection.connection_pool
    settings = _settings(connection)
    if isinstance(pool, SentinelConnectionPool):
        return _open_sentinel(pool, settings)
    kind: type[aio.Connection | aio.UnixDomainSocketConnection] = aio.Connection
    if issubclass(pool.connection_class, UnixDomainSocketConnection):
        kind = aio.UnixDomainSocketConnection
    elif issubclass(pool.connection_class, SSLConnection):
        kind = aio.SSLConnection
    settings |= {"socket_timeout": timeout, "retry": AsyncRetry(NoBackoff(), 0)}
    return Heedful.from_pool(aio.ConnectionPool(connection_class=kind, **settings))


def open_impatient(connection: Redis, timeout: float) -> Redis:
    """Returns a client for the same server whose commands fail after the timeout, without repeating any.

    Args:
        connection: A client of redis-py.
        timeout: Seconds.
    """
    pool = connection.connection_pool
    settings = _settings(connection)
    settings |= {"socket_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    settings.setdefault("socket_connect_timeout", timeout)
    if isinstance(pool, SentinelConnectionPool):
        manager = pool.sentinel_manager
        master: Redis = manager.master_for(pool.service_name, **settings)
        return master
    return Redis.from_pool(type(pool)(connection_class=pool.connection_class, **settings))


def _settings(connection: Redis) -> dict[str, Any]:
    pool = connection.connection_pool
    settings = {name: value for name, value in get_connection_kwargs(connection).items() if name not in _OWN}
    if isinstance(pool, SentinelConnectionPool) and issubclass(pool.connection_class, SSLConnection):
        # Such a pool has taken it out of what its connections are given.
        settings["ssl"] = True
    return settings


def _open_sentinel(pool: SentinelConnectionPool, settings: dict[str, Any]) -> aio.Redis:
    manager = pool.sentinel_manager
    addresses = [
        (each.connection_pool.connection_kwargs["host"], each.connection_pool.connection_kwargs["port"])
        for each in manager.sentinels
    ]
    sentinel = AsyncSentinel(  # type: ignore[no-untyped-call]
        addresses, sentinel_kwargs=manager.sentinel_kwargs
    )
    master: aio.Redis = sentinel.master_for(pool.service_name, redis_class=_Master, **settings)
    return master


class _Master(Heedful):
    """The client of a Sentinel's master, which closes its clients of the Sentinels with itself."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()
