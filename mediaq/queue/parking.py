"""Parking: a job that only waits for something outside gives its slot back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediaq.queue.run import current_run


@asynccontextmanager
async def waiting() -> AsyncIterator[None]:
    """Gives the job's slot back while the block runs, and takes one again at its end.

    The job stays active and its lease is renewed; the time does not count against its timeout. Where the lane
    has as many parked jobs as it may, and in a stock worker, which has no slots, the block runs all the same.
    Of several blocks at once in one job, the first gives the slot back and the last takes one again. On an
    event loop of a job's own, as in a plain function that calls `asyncio.run`, the thread keeps the slot.
    """
    run = current_run.get(None)
    parked = run is not None and run.loop is asyncio.get_running_loop() and run.park()
    try:
        yield
    finally:
        if run is not None and parked:
            await run.unpark()
