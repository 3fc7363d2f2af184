"""Queues that no job is claimed of for now: those that run wait for a provider that cannot be reached."""

from __future__ import annotations

import time


class Holds:
    """Remembers, by queue, until when its jobs are left where they are."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hold(self, queue: str, seconds: float) -> None:
        """Holds a queue for so many seconds from now, unless it is held for longer."""
        self._until[queue] = max(self._until.get(queue, 0.0), time.monotonic() + seconds)

    def release(self, queue: str) -> None:
        """Lets a queue go: the provider answers again."""
        self._until.pop(queue, None)

    def is_held(self, queue: str) -> bool:
        """Tells whether the queue's jobs should be left where they are."""
        return time.monotonic() < self._until.get(queue, 0.0)
