"""What the tests of the embedded servers share: the processes that a supervisor has on record."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import psutil


def recorded(folder: Path) -> list[int]:
    """The pids of a supervisor's children, in the order of their start."""
    return [child["pid"] for child in json.loads((folder / "processes.json").read_text())]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def kill(folder: Path) -> None:
    """Kill the first child with SIGKILL."""
    pid = recorded(folder)[0]
    psutil.Process(pid).kill()
    await until(lambda: not alive(pid))


async def until(check: Callable[[], bool]) -> None:
    """Return when something that happens in another process has happened; fail after 90 seconds."""
    async with asyncio.timeout(90):
        while not check():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
