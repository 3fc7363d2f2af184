"""Going on with what fails for now: again after growing waits, the long ones parked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from attrs import define
from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from mediaq.errors import NoRoom, Throttled, TryAgain, Unreachable
from mediaq.model import TaskStatus
from mediaq.pipelines.operation import Work

T = TypeVar("T")

# Seconds from which on a wait is worth giving the job's slot to another.
PARKED_FROM = 1.0


async def patiently(work: Work, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats what fails for now, with growing waits, until the operation's patience ends.

    Patience counts from the first failure on: waiting for a turn or a place before that uses none up. Long
    waits are parked: the job gives its slot to another meanwhile. Where a call was throttled, all who make
    such calls slow down.

    Raises:
        ProviderError: What the last try raised, or a Refused at once.
    """

    async def go() -> T:
        try:
            return await attempt()
        except Throttled as error:
            await work.tools.limits.rates.throttled(error.limit)
            raise

    aws = work.tools.settings.aws
    trying = AsyncRetrying(
        retry=retry_if_exception_type((TryAgain, NoRoom)),
        stop=_Patience(work.patience),
        wait=wait_exponential_jitter(multiplier=aws.first_wait, max=aws.longest_wait, jitter=aws.first_wait),
        before_sleep=partial(_tell, work),
        sleep=partial(pause, work),
        reraise=True,
    )
    answer: T = await trying(go)
    work.tools.holds.release(work.job.type)
    return answer


@define
class _Patience:
    """Ends so many seconds after the first failure; called by tenacity after each."""

    seconds: float
    _ends: float | None = None

    def __call__(self, state: RetryCallState) -> bool:
        failed = state.outcome_timestamp or 0.0
        if self._ends is None:
            self._ends = failed + self.seconds
        return failed >= self._ends


async def pause(work: Work, seconds: float) -> None:
    """Waits; for longer waits the job is parked."""
    if seconds < PARKED_FROM:
        await asyncio.sleep(seconds)
    else:
        async with work.clock.parked():
            await asyncio.sleep(seconds)


def _tell(work: Work, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.upcoming_sleep
    logger.info("{} waits {:.1f} s: {}", work.operation, wait, error)
    if isinstance(error, Unreachable):
        # Until the next try shows whether it can be reached.
        work.tools.holds.hold(work.job.type, wait + work.tools.settings.aws.call_timeout)
    tries = state.attempt_number + 1
    work.report(TaskStatus.PROCESSING, f"try {tries}: the provider had no answer yet")
