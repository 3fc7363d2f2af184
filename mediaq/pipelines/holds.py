"""Queues that no job is claimed of for now: those that run wait for a provider already."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Holds:
    """Remembers, by queue, until when its jobs are left where they are, for other workers or for later."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._blocks: Counter[str] = Counter()

    def hold(self, queue: str, seconds: float) -> None:
        """Holds a queue for so many seconds from now, unless it is held for longer."""
        self._until[queue] = max(self._until.get(queue, 0.0), time.monotonic() + seconds)

    def release(self, queue: str) -> None:
        """Lets a queue go: the provider answers again."""
        self._until.pop(queue, None)

    def is_held(self, queue: str) -> bool:
        """Tells whether the queue's jobs should be left where they are."""
        return self._blocks[queue] > 0 or time.monotonic() < self._until.get(queue, 0.0)

    @contextmanager
    def holding(self, queue: str) -> Iterator[None]:
        """Holds a queue while the block runs."""
        self._blocks[queue] += 1
        try:
            yield
        finally:
            self._blocks[queue] -= 1
