"""Ends of executions on their way to Redis: each is reported until Redis has taken note of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from mediaq.queue import ends
from mediaq.queue.calls import Calls, is_our_fault
from mediaq.queue.ends import End
from mediaq.queue.run import Run

if TYPE_CHECKING:
    from mediaq.queue.worker import AsyncWorker

# Ends reported in one call at most, to keep Redis responsive.
MOST = 100
REFUSED = "Redis refused to take how this job ended; the worker's log tells more"

Ended = tuple[End, Run]


class Reports:
    """Reports how executions ended; what Redis does not take for now waits in its place.

    Args:
        worker: The worker, which is told what is on record.
        calls: Its calls to Redis.
    """

    def __init__(self, worker: AsyncWorker, calls: Calls) -> None:
        self._worker = worker
        self._calls = calls
        self.waiting: list[Ended] = []

    def add(self, end: End, run: Run) -> None:
        """Takes an end to be reported."""
        self.waiting.append((end, run))

    def take(self) -> list[Ended]:
        """Returns what one call reports."""
        batch, self.waiting = self.waiting[:MOST], self.waiting[MOST:]
        return batch

    def send(self, batch: Sequence[Ended]) -> asyncio.Future[list[bytes]]:
        """Reports ends; their answer is for `settle`."""
        return self._calls.finish([end for end, _ in batch])

    async def settle(self, batch: list[Ended], finishing: asyncio.Future[list[bytes]]) -> None:
        """Waits for the answer to what was reported, and does what follows.

        Raises:
            RedisError, OSError: Redis is away, or takes no writes for now; what it has not taken is reported
                again.
        """
        try:
            answers = await finishing
        except (RedisError, OSError) as error:
            if not isinstance(error, ResponseError) or not is_our_fault(error):
                self.waiting = batch + self.waiting
                raise
            await self._settle_singly(batch, error)
            return
        for (end, run), what in zip(batch, answers, strict=True):
            self._follow_up(run, end, what)

    def _follow_up(self, run: Run, end: End, what: bytes) -> None:
        worker = self._worker
        match what:
            case b"ended":
                worker.after(run, end)
            case b"gone" | b"canceled":
                worker.after(run, ends.canceled(run))
            case b"lost":
                worker.log.warning(
                    "Worker %s: job %s is another worker's by now; what it did here is dropped",
                    worker.name,
                    run.job_id,
                )
            case why:
                worker.log.error(
                    "Worker %s: job %s: %s", worker.name, run.job_id, why.decode(errors="replace")
                )
                worker.after(run, ends.failed(run, "failed", REFUSED))

    async def _settle_singly(self, batch: list[Ended], error: ResponseError) -> None:
        """Sees to it that an end which Redis refuses does not hold up the others, nor its job."""
        if len(batch) > 1:
            for at, (end, run) in enumerate(batch, 1):
                try:
                    await self.settle([(end, run)], self.send([(end, run)]))
                except (RedisError, OSError):
                    self.waiting += batch[at:]
                    raise
            return
        [(end, run)] = batch
        self._worker.log.error(
            "Worker %s: Redis refused the end of job %s: %s", self._worker.name, run.job_id, error
        )
        if end.error == REFUSED:
            # Tried again in a while, for as long as it takes.
            self.add(end, run)
            raise error
        refused = ends.failed(run, "failed", REFUSED)
        await self.settle([(refused, run)], self.send([(refused, run)]))
