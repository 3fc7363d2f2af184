"""Jobs that AWS runs by itself: their names, the wait for their end, and what a failed one means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from attrs import frozen

from mediaq.aws.limits import limit_of
from mediaq.errors import ProviderError, ProviderJobFailed, ProviderJobRefused, TryAgain
from mediaq.model import Charge, Settled, TaskStatus
from mediaq.pipelines.metered import recorded
from mediaq.pipelines.operation import Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.turns import holding_place, take_turn
from mediaq.store import operations

DONE = ("COMPLETED", "SUCCEEDED")


@frozen
class State:
    """How AWS says that its job stands.

    Args:
        status: AWS's word for it.
        reason: Why it failed, in AWS's words.
    """

    status: str
    reason: str | None = None


@frozen
class Kind:
    """A kind of job.

    Args:
        service: boto's name of the service, the ledger's too.
        name: The service's name for people.
        start: The method that starts one.
        places: Which quota of jobs at once it counts for (`mediaq.aws.limits`).
    """

    service: str
    name: str
    start: str
    places: str


@frozen
class ProviderJob:
    """A job to be run.

    Args:
        kind: Its kind.
        estimate: What it may cost at most.
        fingerprint: By which its result is found when the same is asked again.
        start: Starts it under a name, or finds the one that runs under that name; returns AWS's id of it.
        look: Asks how it stands, by its id.
        collect: Fetches what it came to, by its id.
    """

    kind: Kind
    estimate: Charge
    fingerprint: str
    start: Callable[[str], Awaitable[str]]
    look: Callable[[str], Awaitable[State]]
    collect: Callable[[str], Awaitable[Settled]]


async def run_provider_job(work: Work, job: ProviderJob) -> Any:
    """Has AWS run a job, or adopts the one that it runs already, and records and returns what it came to.

    Raises:
        ProviderError: AWS refused it, failed, or could not be asked for longer than the operation's patience.
    """

    async def attempt() -> Any:
        name = await job_name(work)

        async def make(run: operations.Run) -> Settled:
            return await _see_through(work, job, name, run)

        async with holding_place(work, job.kind.places, name):
            await take_turn(work, limit_of(job.kind.service, job.kind.start))
            return await recorded(
                work, job.kind.service, job.estimate, make, token=name, fingerprint=job.fingerprint
            )

    return await patiently(work, attempt)


def name_stem(job_id: str, operation: str) -> str:
    """Returns what all names begin with under which an operation of a job runs at AWS."""
    return f"{job_id}-{operation}-"


async def job_name(work: Work) -> str:
    """Returns the name under which an operation's job runs at AWS.

    It is the same for every attempt and every worker, so that a running job is found again instead of paid
    again; another one once AWS has reported that the job failed.
    """
    # AWS: a ClientRequestToken has at most 64 characters of [a-zA-Z0-9-_].
    store = work.tools.store
    generation = await store.link.outlast(lambda: operations.generation(store, work.job, work.operation))
    return f"{name_stem(work.job.id, work.operation)}{generation}"


async def _see_through(work: Work, job: ProviderJob, name: str, run: operations.Run) -> Settled:
    store = work.tools.store
    # Started again it would have to be the same in all, the topic of its notice too, or AWS would refuse it.
    job_id = await store.link.outlast(lambda: operations.provider_job(store, run)) if run.adopted else None
    if job_id is None:
        job_id = await job.start(name)
        await operations.name_provider_job(store, run, job_id)
    await _until_over(work, job, job_id)
    return await job.collect(job_id)


async def _until_over(work: Work, job: ProviderJob, job_id: str) -> None:
    """Waits until a job is done.

    All that time is one wait: the job that waits has no slot, and its own time stands still.

    Raises:
        ProviderJobFailed: It failed, and another may not.
        ProviderJobRefused: It failed, and another would too.
        TryAgain: It is not over after as long as an attempt may take; whoever tries again finds it again.
    """
    longest = work.tools.settings.queues.named(work.job.type).timeout
    async with work.clock.parked():
        try:
            async with asyncio.timeout(longest):
                await _until_done(work, job, job_id)
        except TimeoutError:
            raise TryAgain(f"{job.kind.name} has not done its job in {longest} s", "NotDone") from None


async def _until_done(work: Work, job: ProviderJob, job_id: str) -> None:
    """Looks at a job at once and then after growing waits; where AWS tells of its end, then and seldom."""
    aws, notices = work.tools.settings.aws, work.tools.notices
    wait = aws.longest_poll if notices.comes_for(job.kind.service) else aws.first_poll
    with notices.expecting(job_id) as told:
        while True:
            # Before the look: what is told from here on is not seen by it.
            told.clear()
            state = await patiently(work, lambda: job.look(job_id))
            work.report(TaskStatus.PROCESSING, state.status.lower().replace("_", " "))
            if state.status in DONE:
                return
            if state.status == "FAILED":
                raise _failed(job.kind.name, state.reason)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await told.wait()
            wait = min(wait * 1.5, aws.longest_poll)


def _failed(service: str, reason: str | None) -> ProviderError:
    text = f"{service} reports: {reason or 'failed without a reason'}"
    if reason is None or "internal" in reason.lower():
        return ProviderJobFailed(text, "JobFailed")
    return ProviderJobRefused(text, "JobFailed")
