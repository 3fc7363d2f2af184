"""The time that an attempt may take: it stands still while the job is parked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediaq.queue.parking import waiting
from mediaq.store.link import Link


class Clock:
    """Counts an attempt's seconds.

    Args:
        seconds: How long the attempt may take, parked time aside.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._deadline: asyncio.Timeout | None = None
        self._waits = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Cuts the block short when the time is up.

        Raises:
            TimeoutError: It is up.
        """
        try:
            async with asyncio.timeout(None if self._waits else self._left) as self._deadline:
                yield
        finally:
            self._stop()
            self._deadline = None

    @asynccontextmanager
    async def parked(self) -> AsyncIterator[None]:
        """Parks the job while the block runs, where it has a slot to give back: that time does not count."""
        stopped = False
        try:
            async with waiting() as stopped:
                if stopped:
                    self._waits += 1
                    self._stop()
                yield
        finally:
            if stopped:
                self._waits -= 1
                self._go()

    @asynccontextmanager
    async def parked_while_away(self, link: Link) -> AsyncIterator[None]:
        """Parks the job, while the block runs, whenever Postgres is away."""
        parking = asyncio.create_task(self._park_through_outages(link))
        try:
            yield
        finally:
            parking.cancel()
            await asyncio.gather(parking, return_exceptions=True)

    async def _park_through_outages(self, link: Link) -> None:
        while True:
            await link.lost.wait()
            async with self.parked():
                await link.there.wait()

    def _stop(self) -> None:
        if self._deadline is None or self._deadline.expired():
            return
        if (end := self._deadline.when()) is not None:
            self._left = max(end - asyncio.get_running_loop().time(), 0.0)
            if self._waits:
                self._deadline.reschedule(None)

    def _go(self) -> None:
        if self._waits == 0 and self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._left)
