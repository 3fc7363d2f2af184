"""A process that faults strike: one fault at a time, and it is noticed when it ends without any."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from havoc.faults import NoEffectError
from havoc.poll import until
from mediaq.embedded.processes import Child

# Seconds a process may take to be back.
PATIENCE = 60.0

T = TypeVar("T")


class Actor:
    """A process that faults strike.

    Args:
        child: The process while it is supervised; it runs.
    """

    def __init__(self, child: Child) -> None:
        self.turn = asyncio.Lock()
        # How often it was found to have ended although nothing had struck it.
        self.own_ends = 0
        self._child = child
        self._known = child.pid

    async def running(self) -> int:
        """Wait until it runs; return its process id.

        Raises:
            NoEffectError: It does not come back.
        """
        pid = await self._until(self._pid, "does not run")
        self.own_ends += pid != self._known
        self._known = pid
        return pid

    async def ended(self, pid: int) -> None:
        """Wait until the process of this id has ended.

        Raises:
            NoEffectError: It does not.
        """

        async def other() -> bool:
            return self._child.pid != pid

        await self._until(other, "has not ended")

    async def replaced(self, pid: int) -> int:
        """Wait until another process was started for it and is ready; return the new process id.

        Raises:
            NoEffectError: None is.
        """
        await self.ended(pid)
        self._known = await self._until(self._pid, "was not started again")
        if self._child.process.ready:
            await self._until(self._child.process.ready, "runs and is not ready")
        return self._known

    async def kill(self) -> int:
        """Kill it with what it forked; it stays away until `start`. Return its process id.

        Raises:
            NoEffectError: It did not run.
        """
        pid = await self.running()
        await self._child.kill()
        return pid

    async def start(self) -> int:
        """Start it again and wait until it is ready; return its new process id.

        Raises:
            ProcessFailedError: It does not get ready.
            NoEffectError: It ended at once.
        """
        await self._child.start(patience=PATIENCE)
        self._known = await self._until(self._pid, "was not started again")
        return self._known

    async def _pid(self) -> int | None:
        return self._child.pid

    async def _until(self, look: Callable[[], Awaitable[T | None]], complaint: str) -> T:
        try:
            found = await until(look, most=PATIENCE)
        except TimeoutError:
            raise NoEffectError(f"{self._child.process.name} {complaint} after {PATIENCE:g} s") from None
        if found is None:
            raise AssertionError("None is not found")
        return found
