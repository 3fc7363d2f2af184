"""A metered call: on record before it is made, its result and its cost recorded together after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from attrs import define
from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from mediaq.aws.calls import call as call_aws
from mediaq.aws.calls import request_id
from mediaq.aws.limits import limit_of
from mediaq.errors import NoRoom, ProviderError, Throttled, TryAgain, Unanswered, Unreachable
from mediaq.model import Certainty, Charge, Settled, TaskStatus
from mediaq.pipelines.inflight import Passage
from mediaq.pipelines.operation import Call, Perform, Work
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.turns import take_turn
from mediaq.store import operations

T = TypeVar("T")
Make = Callable[[operations.Run], Coroutine[Any, Any, Settled]]

# Seconds after its own timeout until which a call counts as under way; and how old its record may be when it
# goes out.
FRESH = 5.0
# Seconds from which on a wait is worth giving the job's slot to another.
PARKED_FROM = 1.0


def once(call: Call) -> Perform:
    """Makes an operation of one billable call that is answered at once."""
    limit = limit_of(call.service, call.method)

    async def perform(work: Work) -> Any:
        charge = prices_now().charge(call.item, call.count(work.job.request))

        async def attempt() -> Any:
            params = await call.params(work)

            async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
                answer = await call_aws(work.tools.aws, call.service, call.method, **params)
                return Settled(call.read(answer), charge, request_id=request_id(answer))

            return await paid(work, call.service, limit, charge, make)

        return await patiently(work, attempt)

    return perform


async def paid(work: Work, service: str, limit: str, estimate: Charge, make: Make, *, part: str = "") -> Any:
    """Makes a call that is billed each time it is made, when its turn comes, and returns its result.

    Until then nothing is on record. Once begun it is seen through to its record, even where the job is cut
    short.

    Args:
        work: The operation.
        service: Whom the call goes to.
        limit: What it counts for, as of `take_turn`.
        estimate: What it may cost at most.
        make: Makes the call, within `aws.call_timeout` seconds.
        part: The part of the operation that it is about (see `parts`); empty: the whole.

    Raises:
        FenceLost: Another worker has started the job since; the call is not made.
        ProviderError: The call failed, which is on record.
    """
    await take_turn(work, limit)

    async def see(passage: Passage) -> Any:
        run = await _begin_freshly(work, service, estimate, part)
        if passage.cut:
            await _unmake(work, run)
            return None
        return await _make(work, run, make)

    return await work.tools.inflight.see_through(see)


async def _begin_freshly(work: Work, service: str, estimate: Charge, part: str) -> operations.Run:
    # A process that was paused after it began must not call, others may have by now: it begins again, fenced.
    while True:
        asked = time.monotonic()
        run = await operations.begin(
            work.tools.store,
            work.job,
            service,
            work.operation,
            estimate=estimate,
            seconds=work.tools.settings.aws.call_timeout + FRESH,
            part=part,
        )
        if time.monotonic() - asked < FRESH:
            return run
        await _unmake(work, run)


async def _unmake(work: Work, run: operations.Run) -> None:
    not_made = TryAgain("the call was on record and then not made", "NotMade")
    await operations.fail(work.tools.store, run, not_made)


async def recorded(
    work: Work,
    service: str,
    estimate: Charge | None,
    make: Make,
    *,
    token: str | None = None,
    certainty: Certainty = Certainty.BILLED,
) -> Any:
    """Does what may be repeated without being billed twice, and returns its result.

    Args:
        work: The operation.
        service: Whom calls go to.
        estimate: What they may cost at most; None where they cost nothing.
        make: Makes them.
        token: The name by which the provider knows a repeated call.
        certainty: How sure the cost row is in the end.

    Raises:
        FenceLost: Another worker has started the job since; no call is made.
        ProviderError: A call failed, which is on record.
    """
    run = await operations.begin(
        work.tools.store, work.job, service, work.operation, estimate=estimate, token=token
    )
    return await _make(work, run, make, certainty)


async def _make(work: Work, run: operations.Run, make: Make, certainty: Certainty = Certainty.BILLED) -> Any:
    try:
        settled = await make(run)
        await operations.settle(work.tools.store, run, settled, certainty)
    except ProviderError as error:
        await operations.fail(work.tools.store, run, error)
        raise
    except Exception as error:
        # Whatever was answered, it was lost here, or Postgres refuses it.
        lost = Unanswered(f"the answer was lost by a fault in mediaq ({type(error).__name__})", "Fault")
        await operations.fail(work.tools.store, run, lost)
        raise
    return settled.result


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
