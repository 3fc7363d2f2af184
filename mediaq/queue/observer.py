"""Who is told how jobs end and how the event loop does: what counts them need not be known here."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told of what a worker does, on its event loop, at once: it should take no time."""

    def job_ended(self, queue: str, outcome: str, seconds: float, *, again: bool) -> None:
        """Hears that an attempt at a job has ended, which is on record.

        Args:
            queue: Its queue.
            outcome: How: finished, failed, timed_out, retried, stopped, refused, interrupted or canceled.
            seconds: What it took.
            again: Whether it failed and is run again.
        """

    def loop_lagged(self, seconds: float) -> None:
        """Hears, several times a second, how long the event loop has taken to answer."""
