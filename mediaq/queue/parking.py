"""Parking: a job that only waits for something outside gives its slot back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediaq.queue.run import Run, current_run


@asynccontextmanager
async def waiting() -> AsyncIterator[bool]:
    """Gives the job's slot back while the block runs, and takes one again at its end.

    The job stays active and its lease is renewed; the time does not count against its timeout. In a stock
    worker, which has no slots, the block runs all the same. Of several blocks at once in one job, the first
    gives the slot back and the last takes one again. On an event loop of a job's own, as in a plain function
    that calls `asyncio.run`, the thread keeps the slot.

    Yields:
        Whether the job is parked: its slot is free, and its clock stands still.
    """
    run = _run_here()
    if run is None:
        yield False
        return
    run.park()
    try:
        yield True
    finally:
        await run.unpark()


def can_park() -> bool:
    """Tells whether the job that runs here has a slot to give."""
    return _run_here() is not None


def _run_here() -> Run | None:
    run = current_run.get(None)
    return run if run is not None and run.loop is asyncio.get_running_loop() else None
