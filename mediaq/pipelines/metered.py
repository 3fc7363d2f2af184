"""A metered call: on record before it is made, its result and its cost recorded together after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from attrs import define, evolve, frozen
from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from mediaq.errors import NoRoom, ProviderError, Refused, Throttled, TryAgain, Unanswered, Unreachable
from mediaq.model import Certainty, Charge, Settled, TaskStatus
from mediaq.pipelines.flights import Flight
from mediaq.pipelines.inflight import Passage
from mediaq.pipelines.operation import Work
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.reuse import Same, look_up
from mediaq.pipelines.turns import take_turn
from mediaq.store import operations
from mediaq.store.operations import Earlier, UnderWay

T = TypeVar("T")
Make = Callable[[operations.Run], Coroutine[Any, Any, Settled]]

# Seconds after its own timeout until which a call counts as under way; and how old its record may be when it
# goes out.
FRESH = 5.0
# Seconds from which on a wait is worth giving the job's slot to another.
PARKED_FROM = 1.0
# Seconds between two looks at a call of another process, at first and at most.
FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0


@frozen
class Answered:
    """What a call came to that was made here."""

    result: Any


async def paid(
    work: Work,
    service: str,
    limit: str,
    estimate: Charge,
    make: Make,
    *,
    part: str = "",
    same: Same | None = None,
) -> Any:
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
        same: Where the same call was answered before, or is under way in any process, it is not made again.

    Raises:
        FenceLost: Another worker has started the job since; the call is not made.
        ProviderError: The call failed, which is on record.
    """
    if same is None or not work.tools.settings.reuse.enabled:
        return (await _pay(work, service, limit, estimate, make, part, None)).result
    while (flight := work.tools.flights.find(same.fingerprint)) is not None:
        await _until_over(work, flight)
        if flight.error is not None:
            raise _shared(flight.error) from flight.error
        if flight.landed:
            return await copied(work, service, estimate.item, same, flight.result, part=part)
    with work.tools.flights.flying(same.fingerprint) as flight:
        known = await _pay(work, service, limit, estimate, make, part, same)
        flight.land(known.result)
    if isinstance(known, Earlier):
        return await copied(work, service, estimate.item, same, known.result, part=part)
    return known.result


async def copied(work: Work, service: str, item: str, same: Same, result: Any, *, part: str = "") -> Any:
    """Records an earlier result as this operation's own, or its part's, for nothing."""

    async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
        return evolve(same.copy(result), charge=prices_now().nothing(item))

    copy = await recorded(work, service, None, make, part=part, certainty=Certainty.REUSED)
    if not part:
        work.report(TaskStatus.COMPLETED, "reused")
    return copy


def _shared(error: ProviderError) -> ProviderError:
    # What else is to follow from it is for the one who met it: to slow down all, or to hold a queue.
    kind = Refused if isinstance(error, Refused) else TryAgain
    return kind(str(error), error.code)


async def _until_over(work: Work, flight: Flight) -> None:
    try:
        await asyncio.wait_for(flight.over.wait(), PARKED_FROM)
    except TimeoutError:
        work.report(TaskStatus.PROCESSING, "waits for the same call of another job")
        async with work.clock.parked():
            await flight.over.wait()


async def _pay(
    work: Work, service: str, limit: str, estimate: Charge, make: Make, part: str, same: Same | None
) -> Answered | Earlier:
    async def see(passage: Passage) -> Answered | Earlier | UnderWay:
        begun = await _begin_freshly(work, service, estimate, part, same)
        if not isinstance(begun, operations.Run):
            return begun
        if passage.cut:
            await _unmake(work, begun)
            return Answered(None)
        return Answered(await _make(work, begun, make))

    wait = FIRST_LOOK
    while True:
        known: Answered | Earlier | UnderWay | None = await look_up(work, same) if same else None
        if known is None:
            await take_turn(work, limit)
            known = await work.tools.inflight.see_through(see)
        if not isinstance(known, UnderWay):
            return known
        await pause(work, min(wait, known.seconds))
        wait = min(2 * wait, LONGEST_LOOK)


async def _begin_freshly(
    work: Work, service: str, estimate: Charge, part: str, same: Same | None
) -> operations.Run | Earlier | UnderWay:
    # A process that was paused after it began must not call, others may have by now: it begins again, fenced.
    while True:
        asked = time.monotonic()
        begun = await _begin(work, service, estimate, part, same)
        if not isinstance(begun, operations.Run) or time.monotonic() - asked < FRESH:
            return begun
        await _unmake(work, begun)


async def _begin(
    work: Work, service: str, estimate: Charge, part: str, same: Same | None
) -> operations.Run | Earlier | UnderWay:
    store, seconds = work.tools.store, work.tools.settings.aws.call_timeout + FRESH
    if same is None:
        return await operations.begin(
            store, work.job, service, work.operation, estimate=estimate, seconds=seconds, part=part
        )
    return await operations.begin_unless_known(
        store,
        work.job,
        service,
        work.operation,
        estimate=estimate,
        seconds=seconds,
        part=part,
        fingerprint=same.fingerprint,
        age=work.tools.settings.reuse.seconds,
    )


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
    part: str = "",
    fingerprint: str | None = None,
    certainty: Certainty = Certainty.BILLED,
) -> Any:
    """Does what may be repeated without being billed twice, and returns its result.

    Args:
        work: The operation.
        service: Whom calls go to.
        estimate: What they may cost at most; None where they cost nothing.
        make: Makes them.
        token: The name by which the provider knows a repeated call.
        part: The part of the operation that they are about; empty: the whole.
        fingerprint: By which the result is found when the same is asked again.
        certainty: How sure the cost row is in the end.

    Raises:
        FenceLost: Another worker has started the job since; no call is made.
        ProviderError: A call failed, which is on record.
    """
    run = await operations.begin(
        work.tools.store,
        work.job,
        service,
        work.operation,
        estimate=estimate,
        token=token,
        part=part,
        fingerprint=fingerprint,
    )
    return await _make(work, run, make, certainty)


async def _make(work: Work, run: operations.Run, make: Make, certainty: Certainty = Certainty.BILLED) -> Any:
    try:
        settled = await make(run)
        with work.tools.telemetry.tracer.span("settle", mediaq_operation=work.operation):
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
