"""The jobs; each writes its start and its end into the diary."""

import asyncio
import os
import signal
import time
from pathlib import Path

from proof.diary import write

# Seconds between two looks at a file that is waited for.
_POLL = 0.05


async def nap(seconds: float) -> str:
    """Wait as a job does that asks another service."""
    write("start")
    await asyncio.sleep(seconds)
    write("end")
    return "rested"


def nap_in_thread(seconds: float) -> str:
    """Wait as a plain function."""
    write("start")
    time.sleep(seconds)
    write("end")
    return "rested"


async def wait_for(file: str) -> str:
    """Wait until there is a file of that name."""
    write("start")
    while not Path(file).exists():  # noqa: ASYNC240, ASYNC110 -- takes microseconds; another process makes it
        await asyncio.sleep(_POLL)
    write("end")
    return "seen"


async def hold_by_sleep(seconds: float, before: float = 0) -> str:
    """Hold the event loop as code does that was written for threads, after a nap."""
    write("start")
    await asyncio.sleep(before)
    time.sleep(seconds)  # noqa: ASYNC251 -- that is the fault
    write("end")
    return "slept"


async def hold_by_spin(seconds: float) -> str:
    """Hold the event loop as a long calculation does."""
    write("start")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    write("end")
    return "counted"


async def kill_worker() -> None:
    """Kill the worker: memory that runs out, a library in C that crashes."""
    write("start")
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_in_thread(file: str) -> str:
    """Wait until there is a file of that name, as a plain function."""
    write("start")
    while not Path(file).exists():
        time.sleep(_POLL)
    write("end")
    return "seen"
