"""What a producer holds of a job: its id, and the way to follow it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from rq.exceptions import NoSuchJobError

from mediaq.queue.codec import ForeignPickle
from mediaq.queue.ends import Kind
from mediaq.queue.view import JobView, Unreadable

if TYPE_CHECKING:
    from mediaq.queue.queue import Queue


class JobFailed(Exception):
    """A job that was waited for failed, or was stopped or cancelled.

    Args:
        job: The job, with the traceback in `error`.
    """

    def __init__(self, job: JobView) -> None:
        reason = (job.error or "").strip().splitlines()
        super().__init__(f"job {job.id} {job.status}" + (f": {reason[-1]}" if reason else ""))
        self.job = job


@frozen
class Handle:
    """A job of a queue, whether or not Redis has it still.

    Args:
        id: The job's id.
        queue: Its queue.
    """

    id: str
    queue: Queue = field(repr=False)

    async def fetch(self) -> JobView | None:
        """Returns the job as it is now; None where Redis has forgotten it.

        Raises:
            redis.RedisError: Redis is away.
        """
        return await self.queue.fetch(self.id)

    async def result(self, timeout: float | None = None) -> Any:
        """Waits for the job to finish; returns what it returned.

        A job that fails and is run again is waited for. All jobs of a queue that are waited for share one
        connection.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Raises:
            TimeoutError: It has not ended in time.
            JobFailed: It failed for good, was stopped or was cancelled.
            mediaq.queue.codec.ForeignPickle: It returned what is no plain value.
            rq.exceptions.NoSuchJobError: Redis has forgotten it, as it does at once with `result_ttl=0`.
            redis.RedisError: Redis is away.
        """
        async with asyncio.timeout(timeout):
            job = await self._fetch_existing()
            before = job.latest
            # A job that repeats goes on after a success; what succeeded before is not what is waited for.
            while not (job.ended or (job.kind == Kind.SUCCESSFUL and job.latest != before)):
                await self.queue.wait_for_news(job)
                job = await self._fetch_existing()
        return _returned(job)

    async def cancel(self) -> bool:
        """Cancels the job; see `Queue.cancel`."""
        return await self.queue.cancel(self.id)

    async def _fetch_existing(self) -> JobView:
        job = await self.fetch()
        if job is None:
            raise NoSuchJobError(f"queue {self.queue.name} has no job {self.id}")
        return job


def _returned(job: JobView) -> Any:
    if job.ended and job.status != "finished":
        raise JobFailed(job)
    if isinstance(job.result, Unreadable):
        raise ForeignPickle(job.result.reason)
    return job.result
