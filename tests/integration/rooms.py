"""Where the jobs of a test are held until it lets them go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Room:
    """Holds jobs, coroutines and threads alike, and counts them; for workers in the test's own process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._open = threading.Event()
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.inside = 0
        self.most = 0

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        """Lets those go on who are held, and nobody be held any more."""
        with self._lock:
            self._open.set()
        for loop, opened in self._held:
            # A loop that has closed holds nobody.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(opened.set)

    def close(self) -> None:
        """Begins anew: whoever was held goes on, whoever comes now is held."""
        self.open()
        self._begin()

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1

    async def hold(self) -> None:
        opened = asyncio.Event()
        with self._lock:
            if self.is_open:
                return
            self._held.append((asyncio.get_running_loop(), opened))
        with self.counted():
            await opened.wait()

    def hold_thread(self) -> None:
        with self.counted():
            self._open.wait(30)
