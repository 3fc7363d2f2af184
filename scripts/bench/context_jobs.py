"""The jobs as coroutines that take a context first, as arq and saq call them."""

import asyncio

from bench.jobs import NAP
from bench.stamps import write_stamp


async def noop(_context: object) -> int:
    """Do nothing; return something, so that there is a result to keep."""
    return 1


async def nap(_context: object) -> int:
    """Wait as a job does that asks another service."""
    await asyncio.sleep(NAP)
    return 1


async def stamp(_context: object, *, sent: float) -> int:
    """Record how long ago the job was sent."""
    write_stamp(sent)
    return 1
