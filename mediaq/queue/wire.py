"""One connection to Redis that many coroutines share."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

Part = str | bytes | int | float

# Commands that leave in one write at most: Redis works on the first of a crowd while the others are packed.
WRITTEN_AT_ONCE = 16

_UNFINISHED = object()


class Wire:
    """Commands go out as they come, those of one tick of the loop in few writes; answers arrive in order.

    A client of redis-py gives a connection to one coroutine at a time and wakes it in several steps for an
    answer. Here an answer costs one future, and fifty coroutines share one write and one read.

    Redis answers a connection's commands one after the other: a blocking one holds up those behind it. Do not
    subscribe on a wire, for messages are no answers.

    Args:
        redis: Where to connect, and how: host or socket or Sentinel, TLS, credentials, database, name. No
            connection of its pool is used, and none of its retries.
        timeout: Seconds of silence, while answers are due, after which the connection counts as dead; None:
            none are too many.
        tied: Whether closing the client closes the wire.
    """

    def __init__(self, redis: Redis, *, timeout: float | None = None, tied: bool = False) -> None:
        self._redis = redis
        self._timeout = timeout
        self._tied = tied
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether calls can be made."""
        return self._line is not None and self._line.is_open

    async def connect(self) -> None:
        """Connects, unless it is connected.

        Raises:
            redis.exceptions.ConnectionError: Redis cannot be reached.
            redis.exceptions.TimeoutError: It did not answer within the client's timeouts.
            redis.exceptions.AuthenticationError: It refused the credentials.
        """
        async with self._connecting:
            if self.connected:
                return
            await self.close()
            connection = _make_connection(self._redis)
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
            except BaseException:
                # Cancelled, it would be left half open.
                await connection.disconnect(nowait=True)
                raise
            self._line = _Line(connection, self._timeout)
            if self._tied:
                _hold(self._redis).add(connection)

    def call(self, *args: Part) -> asyncio.Future[Any]:
        """Sends a command.

        Cancelling the future gives up waiting for the answer; the command is carried out.

        Args:
            args: The command's parts; numbers as Python writes them.

        Returns:
            The answer: bytes, int, None or a list of them. It fails with a `ResponseError` where that is the
            answer, with a `ConnectionError` where the connection is lost or was not made, and with redis-py's
            `TimeoutError` where Redis is silent: in either case the command may have been carried out.

        Raises:
            TypeError: A part is of another type.
        """
        if self._line is None:
            return _failed(RedisConnectionError("not connected to Redis"))
        return self._line.call(args)

    async def close(self) -> None:
        """Closes the connection; calls that wait for an answer fail with a `ConnectionError`."""
        line, self._line = self._line, None
        if line is not None:
            _hold(self._redis).discard(line.connection)
            await line.close()


class _Line(asyncio.Protocol):
    """A connection that redis-py has made, taken over: who waits, in order, and the reader of answers."""

    def __init__(self, connection: AbstractConnection, timeout: float | None) -> None:
        # Kept, for its stream closes the transport when it is collected.
        self.connection = connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = connection._writer.transport  # type: ignore[union-attr, assignment] # noqa: SLF001
        self._streams = self._transport.get_protocol()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_UNFINISHED
        )
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._outgoing: list[bytes] = []
        self._heard = self._loop.time()
        self._check: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def call(self, args: tuple[Part, ...]) -> asyncio.Future[Any]:
        if self._transport.is_closing():
            return _failed(RedisConnectionError("the connection to Redis is closed"))
        packed = hiredis.pack_command(args)  # type: ignore[arg-type]
        if self._waiting:
            self._post(packed)
        else:
            # Nobody else is at it: waiting for the end of the tick would only cost time.
            self._transport.write(packed)
            self._listen()
        answer = self._loop.create_future()
        self._waiting.append(answer)
        return answer

    def _post(self, packed: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._send)
        self._outgoing.append(packed)
        if len(self._outgoing) >= WRITTEN_AT_ONCE:
            self._send()

    def _send(self) -> None:
        if self._outgoing:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _listen(self) -> None:
        self._heard = self._loop.time()
        # One timer looks at the time now and then: one a call would cost more than the call.
        if self._timeout is not None and self._check is None:
            self._check = self._loop.call_later(self._timeout, self._check_silence, self._timeout)

    def _check_silence(self, timeout: float) -> None:
        self._check = None
        if not self._waiting:
            return
        left = self._heard + timeout - self._loop.time()
        if left > 0:
            self._check = self._loop.call_later(left, self._check_silence, timeout)
        else:
            self._fail(RedisTimeoutError, f"Redis has been silent for {timeout} s")
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._reader.feed(data)
        gets, popleft = self._reader.gets, self._waiting.popleft
        while (value := gets()) is not _UNFINISHED:
            answer = popleft()
            if answer.done():
                continue
            if isinstance(value, Exception):
                _refuse(answer, value)
            else:
                answer.set_result(value)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(RedisConnectionError, f"the connection to Redis was lost: {exc or 'Redis closed it'}")
        if self._check is not None:
            self._check.cancel()
        # The stream's writer waits to hear of it.
        self._streams.connection_lost(exc)

    async def close(self) -> None:
        self._fail(RedisConnectionError, "the connection to Redis was closed")
        with suppress(RedisTimeoutError):
            await self.connection.disconnect()

    def _fail(self, kind: type[RedisError], reason: str) -> None:
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                _refuse(answer, kind(reason))


def _make_connection(redis: Redis) -> AbstractConnection:
    pool = redis.connection_pool
    # RESP2 pushes nothing between the answers; maintenance notifications want RESP3.
    settings = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if not name.startswith(("maint_", "oss_cluster_", "retry_on_"))
    }
    connection: AbstractConnection = pool.connection_class(
        **{**settings, "protocol": 2, "retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    )
    return connection


def timeout_of(redis: Redis) -> float | None:
    """Returns the seconds after which the client's own connections give up waiting for an answer."""
    timeout: float | None = redis.connection_pool.make_connection().socket_timeout  # type: ignore[no-untyped-call]
    return timeout


def _hold(redis: Redis) -> set[AbstractConnection]:
    # What the client closes with itself.
    connections: set[AbstractConnection] = redis.connection_pool._in_use_connections  # noqa: SLF001
    return connections


def _failed(error: Exception) -> asyncio.Future[Any]:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    _refuse(answer, error)
    return answer


def _refuse(answer: asyncio.Future[Any], error: Exception) -> None:
    answer.set_exception(error)
    # Whoever waits for several answers and stops at the first need not look at the others.
    answer.exception()
