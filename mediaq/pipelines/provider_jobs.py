"""Jobs that AWS runs by itself: their names, the wait for their end, and what a failed one means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from attrs import frozen

from mediaq.errors import ProviderError, ProviderJobFailed, ProviderJobRefused, TryAgain
from mediaq.model import TaskStatus
from mediaq.pipelines.metered import patiently
from mediaq.pipelines.operation import Work
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


async def until_done(work: Work, service: str, look: Callable[[], Awaitable[State]]) -> None:
    """Looks at a job, at once and then after growing waits, until it is done.

    All that time is one wait: the job that waits has no slot, and its own time stands still.

    Args:
        work: The operation.
        service: Who runs it, for people.
        look: Asks how it stands.

    Raises:
        ProviderJobFailed: It failed, and another may not.
        ProviderJobRefused: It failed, and another would too.
        TryAgain: It is not over after as long as an attempt may take; whoever tries again finds it again.
    """
    longest = work.tools.settings.queues.named(work.job.type).timeout
    async with work.clock.parked():
        try:
            async with asyncio.timeout(longest):
                await _until_done(work, service, look)
        except TimeoutError:
            raise TryAgain(f"{service} has not done its job in {longest} s", "NotDone") from None


async def _until_done(work: Work, service: str, look: Callable[[], Awaitable[State]]) -> None:
    aws = work.tools.settings.aws
    wait = aws.first_poll
    while True:
        state = await patiently(work, look)
        work.report(TaskStatus.PROCESSING, state.status.lower().replace("_", " "))
        if state.status in DONE:
            return
        if state.status == "FAILED":
            raise _failed(service, state.reason)
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, aws.longest_poll)


def _failed(service: str, reason: str | None) -> ProviderError:
    text = f"{service} reports: {reason or 'failed without a reason'}"
    if reason is None or "internal" in reason.lower():
        return ProviderJobFailed(text, "JobFailed")
    return ProviderJobRefused(text, "JobFailed")
