"""The jobs as coroutines."""

import asyncio

from bench.stamps import write_stamp

NAP = 0.05


async def noop() -> int:
    """Do nothing; return something, so that there is a result to keep."""
    return 1


async def nap() -> int:
    """Wait as a job does that asks another service."""
    await asyncio.sleep(NAP)
    return 1


async def stamp(sent: float) -> int:
    """Record how long ago the job was sent."""
    write_stamp(sent)
    return 1
