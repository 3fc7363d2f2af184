"""Waiting for work without taking any: a worker hears of a job within a round trip, and polls nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mediaq.queue import keys
from mediaq.queue.lane import Lane
from mediaq.queue.wire import Wire

# Seconds one wait takes at most; a connection without an answer for as long again counts as dead.
LISTEN = 5
# Seconds between two tries to reach Redis.
AGAIN = 0.5


async def listen(lane: Lane, redis: Redis, wake: Callable[[], None]) -> None:
    """Makes a lane hungry whenever it has room and its queue has jobs; ends when it is cancelled.

    Args:
        lane: The lane.
        redis: Where its queue is; the connection is this lane's own, for the wait blocks it.
        wake: Called each time.
    """
    wire = Wire(redis)
    try:
        while True:
            await lane.idle.wait()
            if await _hears(wire, keys.queue(lane.queue)):
                lane.idle.clear()
                lane.hungry = True
                wake()
    finally:
        await wire.close()


async def _hears(wire: Wire, key: str) -> bool:
    try:
        if not wire.connected:
            await wire.connect()
        async with asyncio.timeout(2 * LISTEN):
            # Moves the first job to where it is: it wakes when there is one, and takes none.
            return await wire.call("BLMOVE", key, key, "LEFT", "LEFT", LISTEN) is not None
    except (RedisError, OSError, TimeoutError):
        await wire.close()
        await asyncio.sleep(AGAIN)
        return False
