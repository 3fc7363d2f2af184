"""Looking again and again, where another process has no event to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], *, most: float | None = None, every: float = 0.05) -> T:
    """Look until something is found that counts as true; return it.

    Args:
        look: What is done again and again.
        most: Seconds after which it is given up; None: never.
        every: Seconds between two looks.

    Raises:
        TimeoutError: Nothing was found in time.
    """
    async with asyncio.timeout(most):
        while not (found := await look()):  # noqa: ASYNC110 -- it is not this process in which it happens
            await asyncio.sleep(every)
    return found
