"""Asynchronous jobs that AWS runs at once for an account, counted by all workers together.

A place belongs to the job's derived name, not to a worker: who adopts the job takes over its place. It is
renewed while someone waits for the job, and comes free a while after nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext

from mediaq.aws.rates import Parked
from mediaq.errors import ProviderJobFailed, Refused
from mediaq.shared_limits import Away, SharedLimits

# Seconds a place is kept without a renewal: longer than it takes until a dead worker's job runs elsewhere.
KEPT = 120.0
RENEW = 30.0
# Seconds between two questions of the first in the line; those behind it ask less often, at most this seldom.
STEP = 0.5
SELDOM = 15.0
# What tells that AWS runs no job of that name now.
OVER = (Refused, ProviderJobFailed)


class Places:
    """How many jobs may run at once.

    Args:
        shared: Redis.
        region: AWS's region: quotas are by account and region.
        most: How many, by kind.
    """

    def __init__(self, shared: SharedLimits, region: str, most: Mapping[str, int]) -> None:
        self._shared = shared
        self._region = region
        self._most = most

    @asynccontextmanager
    async def place(self, kind: str, name: str, parked: Parked = nullcontext) -> AsyncIterator[None]:
        """Holds a place for a job while the block runs, and gives it back if the job is over then.

        It is, where the block ends or AWS reports that the job failed. Where the block is cancelled or fails
        for another reason, AWS may run the job still: the place is kept for whoever adopts it.

        Args:
            kind: Which quota it counts for.
            name: The job's name, the same for every attempt.
            parked: Entered for the time of the wait for a place.
        """
        if wait := await self.take(kind, name):
            async with parked():
                while wait:
                    await asyncio.sleep(wait)
                    wait = await self.take(kind, name)
        try:
            async with self._renewed(kind, name):
                yield
        except OVER:
            await self.leave(kind, name)
            raise
        await self.leave(kind, name)

    async def take(self, kind: str, name: str) -> float:
        """Takes a place, or keeps the one that the name has; repeating it is safe.

        Returns:
            0, or the seconds after which to ask again, to keep one's rank among those that wait.
        """
        args = (name, self._most[kind], KEPT, STEP, SELDOM)
        try:
            milliseconds: int = await self._shared.run(("take_place",), self._keys(kind), args)
        except Away:
            # AWS itself refuses what is too much.
            return 0.0
        return milliseconds / 1000

    async def leave(self, kind: str, name: str) -> None:
        """Gives a place back; repeating it is safe."""
        try:
            await self._shared.run(("leave_place",), self._keys(kind), (name,))
        except Away:
            # It comes free by itself.
            return

    @asynccontextmanager
    async def _renewed(self, kind: str, name: str) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(kind, name))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, kind: str, name: str) -> None:
        while True:
            await asyncio.sleep(RENEW)
            try:
                await self._shared.run(("keep_place",), self._keys(kind)[:1], (name, KEPT))
            except Away:
                continue

    def _keys(self, kind: str) -> tuple[str, str, str]:
        places = f"mediaq:places:{self._region}:{kind}"
        return places, f"{places}:line", f"{places}:lapses"
