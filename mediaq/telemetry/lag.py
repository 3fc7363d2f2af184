"""How late an event loop is that no worker's heart watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Seconds between two looks at the event loop.
LOOK = 0.25


@asynccontextmanager
async def watching_loop(lagged: Callable[[float], None]) -> AsyncIterator[None]:
    """Tells how late the event loop is while the block runs.

    Args:
        lagged: Told of the seconds, several times a second.
    """
    watching = asyncio.create_task(_watch(lagged), name="loop lag")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(lagged: Callable[[float], None]) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + LOOK
        await asyncio.sleep(LOOK)
        lagged(max(clock() - due, 0.0))
