"""A small supervisor: starts processes in order, keeps them running, and leaves none behind."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from loguru import logger

from mediaq.embedded import leftovers
from mediaq.embedded.processes import Child, Process, ProcessFailedError


class Supervisor:
    """Runs processes until its context is left.

    Should it be killed, a guard process sees it and ends all children; should the guard be killed too, the
    next supervisor of the same folder does so at its start.

    Args:
        folder: For `logs/` and the record of the children. One supervisor at a time may use it.
        environment: The variables of every child, besides its own; this process's unless told.
        patience: Seconds that a process may take to get ready.
        grace: Seconds between the signal to stop and SIGKILL.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] = os.environ,
        patience: float = 60,
        grace: float = 10,
    ) -> None:
        self._folder = folder.resolve()
        self._environment = environment
        self._patience = patience
        self._grace = grace
        self._layers: list[list[Child]] = []
        self._guard: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        ended = await asyncio.to_thread(leftovers.end, self._folder, grace=self._grace)
        if ended:
            logger.warning("Ended what a killed start had left running: {}", ", ".join(ended))
        command = [sys.executable, "-m", "mediaq.embedded.leftovers", str(self._folder)]
        self._guard = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, layer: Sequence[Process]) -> None:
        """Start processes side by side and return when all are ready.

        Raises:
            ProcessFailedError: One ended, or was not ready in time; what did start runs until `stop`.
        """
        children = [Child(process, self._folder, self._environment, self._record) for process in layer]
        self._layers.append(children)
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.start(patience=self._patience))
        except* ProcessFailedError as failures:
            raise failures.exceptions[0] from None

    def child(self, name: str) -> Child:
        """Return a process that was started, for those who try what follows when it is killed.

        Raises:
            KeyError: None of that name was.
        """
        return {child.process.name: child for layer in self._layers for child in layer}[name]

    async def stop(self) -> None:
        """Stop everything, what was started last first, and return when no process is left."""
        for layer in reversed(self._layers):
            await asyncio.gather(*(child.stop(grace=self._grace) for child in layer))
        self._layers.clear()
        await asyncio.to_thread(leftovers.end, self._folder, grace=0)
        if self._guard:
            self._guard.kill()
            await self._guard.wait()

    def _record(self) -> None:
        children = [child.record for layer in self._layers for child in layer if child.record]
        leftovers.record(self._folder, children)
