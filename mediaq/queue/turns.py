"""Turns: jobs that may outlive no further worker run one after the other.

A job that kills its worker takes those with it that run beside it, and each time the same ones, for they go
back to the front of their queue together. So those on their last chance take turns; one that has not had its
turn when the worker dies is not to blame, and that death does not count.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mediaq.queue import keys

if TYPE_CHECKING:
    from mediaq.queue.run import Run

# Seconds after which a mark that nobody removed goes by itself.
MARKED = 7 * 86400


class Turns:
    """The turns of one worker's jobs.

    Args:
        redis: A client of its server.
        deaths: How many workers a job may outlive.
    """

    def __init__(self, redis: Redis, deaths: int) -> None:
        self._redis = redis
        self._deaths = max(deaths, 1)
        self._turn = Lock()

    def must_wait(self, run: Run) -> bool:
        """Tells whether an execution is its job's last chance."""
        return b"mediaq_deaths" in run.fields and (run.number("mediaq_deaths") or 0) >= self._deaths

    @asynccontextmanager
    async def take(self, run: Run) -> AsyncIterator[None]:
        """Waits until it is the execution's turn, which lasts as long as the block."""
        mark = keys.waiting(run.job_id, run.execution)
        if self._turn.locked():
            await _try(self._redis.set(mark, 1, ex=MARKED))
        try:
            async with self._turn:
                await _try(self._redis.delete(mark))
                yield
        finally:
            await _try(self._redis.delete(mark))


async def _try(command: Awaitable[object]) -> None:
    # Without Redis the job runs all the same, and its worker's death may count.
    with suppress(RedisError, OSError):
        await command
