"""Runs asynchronous jobs: queued, in progress, ended; one that a restart interrupted runs again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import httpx
from attrs import frozen

from mediaq.embedded.standin.book import Call, Charge, End, Entry, Job

if TYPE_CHECKING:
    from mediaq.embedded.standin.book import Book

QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
INTERNAL_FAILURE = "An internal failure occurred. Try your request again."


class JobFailed(Exception):
    """The job fails; the message is the service's reason."""


@frozen
class Outcome:
    """How a job succeeded: what its Get operation answers from, and what it is billed."""

    result: dict[str, Any]
    charge: Charge


class Jobs:
    """The running jobs of one stand-in.

    Args:
        book: Where jobs and their ends are kept.
        work: Does a job's work; raises `JobFailed` where the job is to fail.
        notify: Told of each end that is on record.
        seconds_per_state: How long a job is queued, and at least in progress.
    """

    def __init__(
        self,
        book: Book,
        work: Callable[[Job], Awaitable[Outcome]],
        notify: Callable[[Job, End], None],
        seconds_per_state: float,
    ) -> None:
        self._book = book
        self._work = work
        self._notify = notify
        self._seconds = seconds_per_state
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Job) -> None:
        """Put a new job on record and run it."""
        self._book.commit(Entry(job=job))
        self._run(job)

    def resume(self) -> None:
        """Run the jobs that were open when the stand-in stopped."""
        for job in self._book.open_jobs.values():
            self._run(job)

    def count(self, operation: str) -> int:
        """Return how many jobs of an operation are open."""
        return sum(job.operation == operation for job in self._book.open_jobs.values())

    def state(self, job: Job) -> str:
        """Return the state of an open job."""
        return QUEUED if time.time() < self.begins(job) else IN_PROGRESS

    def begins(self, job: Job) -> float:
        """Return when the job leaves the queue, in seconds since the epoch."""
        return job.created + self._seconds

    async def close(self) -> None:
        """Stop; open jobs stay on record."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, job: Job) -> None:
        task = asyncio.create_task(self._follow(job), name=f"{job.operation} {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, job: Job) -> None:
        await _until(self.begins(job))
        try:
            outcome = await self._outcome(job)
            end, call = End(job=job.id, result=outcome.result), _call(job, outcome.charge)
        except JobFailed as failure:
            end, call = End(job=job.id, failure=str(failure)), _call(job, None)
        await _until(self.begins(job) + self._seconds)
        ended = attrs.evolve(end, at=time.time())
        self._book.commit(Entry(end=ended, calls=[call]))
        self._notify(job, ended)

    async def _outcome(self, job: Job) -> Outcome:
        if job.doomed:
            raise JobFailed(INTERNAL_FAILURE)
        try:
            return await self._work(job)
        except httpx.HTTPError as error:
            raise JobFailed(INTERNAL_FAILURE) from error


def _call(job: Job, charge: Charge | None) -> Call:
    return Call(
        service=job.service,
        operation=job.operation,
        item=job.item,
        resource=job.resource,
        units=charge.units if charge else Decimal(0),
        unit=charge.unit if charge else "",
        billed=charge is not None,
        error=None if charge else "FAILED",
        job=job.id,
        request_token=job.request.get("ClientRequestToken"),
    )


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))
