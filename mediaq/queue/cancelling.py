"""Ending tasks by cancelling them, for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# Seconds after which a task that goes on is cancelled again.
EVERY = 0.2


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancels tasks and waits until all have ended.

    More than once: before Python 3.12 a cancellation may get lost where it meets the end of a timeout, as in
    redis-py when all of a command is sent.
    """
    left = asked = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=EVERY)
    # What they ended with is nobody's any more.
    for task in asked:
        if not task.cancelled():
            task.exception()
