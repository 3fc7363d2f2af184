"""What is told of jobs: one short stream in Redis for all of them, read by one connection a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mediaq.queue import keys
from mediaq.queue.codec import PlainPickle
from mediaq.queue.scripts import load_script
from mediaq.queue.wire import Wire

# Events that the stream keeps about, some 3 MB: what was missed by those who were away for a moment.
KEPT = 5000
# What the stream has of an event.
FIELDS = ("job", "queue", "share", "event", "data")
# Events that one read takes at most.
AT_ONCE = 100
# Seconds one read waits at most; a connection without an answer for as long again counts as dead.
WAIT = 2.0

# An event's id in the stream: milliseconds since the epoch by Redis's clock, and a number within them.
Place = tuple[int, int]


class StreamReplaced(RedisError):
    """The stream ends before what was read of it: it is another server's, or one whose clock went back."""


@frozen
class Entry:
    """An event as it stands in the stream.

    Args:
        place: Its id.
        job_id: The job that it is about.
        queue: The job's queue.
        share: On whose account the job is; empty: nobody's.
        event: What happened.
        data: More about it, as JSON; empty: there is no more.
    """

    place: Place
    job_id: str
    queue: str
    share: str
    event: str
    data: bytes


async def announce(
    redis: Redis,
    job_id: str,
    events: Sequence[tuple[str, str | bytes]],
    *,
    queue: str,
    share: str = "",
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Tells of a job, in one round trip.

    A job that Redis has forgotten is not brought back.

    Args:
        redis: A client.
        job_id: The job.
        events: What happened, in order: the name of each event, and more about it as JSON or nothing.
        queue: The job's queue.
        share: On whose account the job is.
        meta: The job's `meta` from now on, which RQ's tools show; None: as it is.

    Raises:
        redis.RedisError: Redis is away, or refuses.
    """
    write = load_script(redis, "announce")
    written = b"" if meta is None else PlainPickle.dumps(dict(meta))
    told = [part for event in events for part in event]
    await write(keys=[keys.job(job_id), keys.EVENTS], args=[KEPT, written, job_id, queue, share, *told])


async def announce_all(redis: Redis, told: Sequence[tuple[str, str, str, str, str | bytes]]) -> None:
    """Tells of many jobs, in one round trip; their `meta` stays as it is.

    Args:
        redis: A client.
        told: In order, of each event: the job, its queue, its share, what happened, and more about it.

    Raises:
        redis.RedisError: Redis is away, or refuses.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for values in told:
            fields: dict[Any, Any] = dict(zip(FIELDS, values, strict=True))
            pipe.xadd(keys.EVENTS, fields, maxlen=KEPT, approximate=True)
        await pipe.execute()


class Tail:
    """Reads the stream as it grows, on a connection of its own.

    Args:
        redis: Where it is.
    """

    def __init__(self, redis: Redis) -> None:
        self._wire = Wire(redis)
        # Where what was read ends.
        self.place: Place = (0, 0)

    async def load(self) -> list[Entry]:
        """Connects and reads all that the stream keeps.

        Raises:
            redis.RedisError, OSError, TimeoutError: Redis is away.
        """
        await self._wire.connect()
        seconds, _ = await self._call("TIME")
        entries = [_read_entry(item) for item in await self._call("XRANGE", keys.EVENTS, "-", "+")]
        # Of an empty stream, the second before: whatever is added from now on comes after it.
        self.place = entries[-1].place if entries else (int(seconds) * 1000 - 1000, 0)
        return entries

    async def read(self) -> list[Entry]:
        """Waits for the next events; returns none where there are none for a moment.

        Raises:
            StreamReplaced: The stream is another one now: load it.
            redis.RedisError, OSError, TimeoutError: The connection is lost.
        """
        block = int(WAIT * 1000)
        answer = await self._call(
            "XREAD", "COUNT", AT_ONCE, "BLOCK", block, "STREAMS", keys.EVENTS, write_place(self.place)
        )
        if not answer:
            await self._check()
            return []
        [(_, items)] = answer
        entries = [_read_entry(item) for item in items]
        self.place = entries[-1].place
        return entries

    async def close(self) -> None:
        """Closes the connection."""
        await self._wire.close()

    async def _check(self) -> None:
        newest = await self._call("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", 1)
        if newest and _read_entry(newest[0]).place < self.place:
            raise StreamReplaced(f"the stream {keys.EVENTS} ends before what was read of it")

    async def _call(self, *command: str | int) -> Any:
        async with asyncio.timeout(2 * WAIT):
            return await self._wire.call(*command)


def write_place(place: Place) -> str:
    """Returns a place as Redis writes it."""
    return f"{place[0]}-{place[1]}"


def _read_entry(item: Any) -> Entry:
    entry_id, fields = item
    milliseconds, _, number = entry_id.decode().partition("-")
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    job_id, queue, share, event = (
        values.get(name, b"").decode(errors="replace") for name in (b"job", b"queue", b"share", b"event")
    )
    return Entry((int(milliseconds), int(number)), job_id, queue, share, event, values.get(b"data", b""))
