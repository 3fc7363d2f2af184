"""What is under way and must be seen through: paid calls, and the record of how an attempt ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from attrs import define
from loguru import logger

from mediaq.errors import MediaqError

T = TypeVar("T")


@define
class Passage:
    """One thing that is seen through.

    Args:
        cut: Whether nobody waits for it any more: the job was cut short.
    """

    cut: bool = False


class Inflight:
    """Keeps going what a job began that is cut short by a cancel, a timeout, a deploy or a lost fence.

    The job ends at once all the same.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def see_through(self, act: Callable[[Passage], Coroutine[Any, Any, T]]) -> T:
        """Does something to its end, also where the caller is cancelled meanwhile.

        Args:
            act: Does it; told by the passage whether anyone still waits for it.
        """
        passage = Passage()
        task = asyncio.create_task(act(passage))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            passage.cut = True
            raise

    async def close(self, seconds: float) -> None:
        """Waits so many seconds at most for what is under way, then cuts it off."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # An error of ours is on record, and heard by whoever still waits.
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, MediaqError):
            logger.opt(exception=error).debug("what was under way has failed")


@asynccontextmanager
async def open_inflight(patience: float) -> AsyncIterator[Inflight]:
    """Yields a keeper of what is under way; at the end it has `patience` seconds to end in."""
    inflight = Inflight()
    try:
        yield inflight
    finally:
        await inflight.close(patience)
