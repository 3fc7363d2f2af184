"""A job that is on record elsewhere, as it is pushed; and how many jobs are where."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from attrs import frozen

from mediaq.queue.codec import PlainPickle, compress
from mediaq.queue.dates import written
from mediaq.queue.prepared import Parts


@frozen
class QueuedJob:
    """A job as it is pushed.

    Args:
        id: Letters, digits, `-` and `_`.
        function: Dotted path of what a worker calls, with `args`, which are plain values.
        description: What RQ's tools show.
        timeout: Seconds a run may take.
        result_ttl: Seconds its hash and result stay after success.
        failure_ttl: Seconds they stay after failure.
        retries_left: How often it may still be run again after this run.
        retry_intervals: Seconds before each further run, of all that the job has, the first first.
        meta: Plain values that RQ's tools show beside the job.
        share: On whose account it is: those who share a queue are served in turns (`lua/fair.lua`); None:
            whoever comes first.
        opening: How often it was opened again after its end, by which Redis's traces of it are told apart.
    """

    id: str
    function: str
    args: tuple[Any, ...]
    description: str
    timeout: int
    result_ttl: int
    failure_ttl: int
    retries_left: int
    retry_intervals: tuple[int, ...]
    meta: dict[str, Any]
    share: str | None = None
    opening: int = 0

    def items(self, queue: str, created_at: datetime) -> Parts:
        """Returns the names and values of its hash, but for its status."""
        call = PlainPickle.dumps((self.function, None, self.args, {}))
        items: Parts = (
            *("created_at", written(created_at), "origin", queue, "data", compress(call)),
            *("description", self.description, "timeout", self.timeout),
            *("result_ttl", self.result_ttl, "failure_ttl", self.failure_ttl),
            *("retries_left", self.retries_left, "retry_intervals", json.dumps(self.retry_intervals)),
        )
        if self.meta:
            items = (*items, "meta", PlainPickle.dumps(self.meta))
        if self.opening:
            items = (*items, "mediaq_opening", self.opening)
        return items if self.share is None else (*items, "mediaq_share", self.share)


@frozen
class Counts:
    """How many jobs of a queue are where.

    Args:
        waiting: Those that a worker may take.
        active: Those that run.
        completed: Those that finished, and are kept.
        failed: Those that failed or were stopped, and are kept.
        delayed: Those that are not due, or wait for other jobs.
        paused: Those that wait for the queue to be resumed.
    """

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: int = 0
