"""What the workers of the tests run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rq import get_current_job

# For workers in the test's own process: what jobs noted, and what holds them.
noted: list[Any] = []
_open = threading.Event()
_lock = threading.Lock()
_inside = 0
_most = 0


def forget() -> None:
    global _open, _inside, _most  # noqa: PLW0603
    noted.clear()
    _open = threading.Event()
    _inside = _most = 0


def release() -> None:
    """Lets all that hold go on."""
    _open.set()


def inside() -> int:
    """How many jobs hold now."""
    return _inside


def most() -> int:
    """How many jobs held at once, at most."""
    return _most


@contextmanager
def _counted() -> Iterator[None]:
    global _inside, _most  # noqa: PLW0603
    with _lock:
        _inside += 1
        _most = max(_most, _inside)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1


def note(what: Any) -> Any:
    noted.append(what)
    return what


async def anote(what: Any) -> Any:
    noted.append(what)
    return what


async def hold(what: Any = None) -> Any:
    """Holds until it is released."""
    gate = _open
    with _counted():
        while not gate.is_set():  # noqa: ASYNC110 - opened from another thread
            await asyncio.sleep(0.002)
    noted.append(what)
    return what


def hold_thread(what: Any = None) -> Any:
    gate = _open
    with _counted():
        gate.wait(30)
    noted.append(what)
    return what


async def rest(seconds: float = 0.01) -> None:
    with _counted():
        await asyncio.sleep(seconds)


def rest_thread(seconds: float = 0.01) -> None:
    with _counted():
        time.sleep(seconds)


def job_id() -> str:
    job = get_current_job()
    assert job is not None
    return job.id
