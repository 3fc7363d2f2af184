"""Coroutines that a thread has run on the event loop, and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class Errands:
    """Runs coroutines on the loop that made it, on behalf of threads.

    Once closed it cancels what is under way and takes no more: the threads end with an error.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Future[Any]] = set()
        self._closed = False
        self._lock = Lock()

    def run(self, errand: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the loop; to be called in another thread.

        Raises:
            RuntimeError: It is closed.
            concurrent.futures.CancelledError: It was closed meanwhile.
            Exception: Whatever the coroutine raised.
        """
        with self._lock:
            if self._closed:
                errand.close()
                raise RuntimeError("nobody waits for this any more")
            future = asyncio.run_coroutine_threadsafe(errand, self._loop)
            self._open.add(future)
        try:
            return future.result()
        finally:
            with self._lock:
                self._open.discard(future)

    def close(self) -> None:
        """Cancels what is under way."""
        with self._lock:
            self._closed = True
            under_way = tuple(self._open)
        for future in under_way:
            future.cancel()
