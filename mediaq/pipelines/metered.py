"""A metered call: on record before it is made, its result and its cost recorded together after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from attrs import evolve, frozen

from mediaq.errors import ProviderError, Refused, TryAgain, Unanswered
from mediaq.model import Certainty, Charge, Settled, TaskStatus
from mediaq.pipelines.flights import Flight
from mediaq.pipelines.inflight import Passage
from mediaq.pipelines.operation import Work
from mediaq.pipelines.patience import PARKED_FROM, pause
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.reuse import Same, look_up
from mediaq.pipelines.turns import take_turn
from mediaq.store import operations
from mediaq.store.operations import Earlier, UnderWay

Make = Callable[[], Coroutine[Any, Any, Settled]]

# Seconds after its own timeout until which a call counts as under way; and how old its record may be when it
# goes out.
FRESH = 5.0
# Seconds between two looks at a call of another process, at first and at most.
FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0


@frozen(kw_only=True)
class Call:
    """A call that is billed each time it is made.

    Args:
        service: Whom it goes to.
        limit: What it counts for, as of `take_turn`.
        estimate: What it may cost at most.
        prepare: Gets ready what costs nothing and takes time or room, when the call is going to be made and
            before it is on record; returns what makes it, within `aws.call_timeout` seconds (see `ready`).
        part: The part of the operation that it is about (see `parts`); empty: the whole.
        same: Where the same call was answered before, or is under way in any process, it is not made again.
    """

    service: str
    limit: str
    estimate: Charge
    prepare: Callable[[], Awaitable[Make]]
    part: str = ""
    same: Same | None = None


@frozen
class Answered:
    """What a call came to that was made here."""

    result: Any


def ready(make: Make) -> Callable[[], Awaitable[Make]]:
    """Says that a call needs no preparation."""

    async def prepare() -> Make:
        return make

    return prepare


async def paid(work: Work, call: Call) -> Any:
    """Makes a call when its turn comes, unless it is answered already, and returns its result.

    Until then nothing is on record. Once begun it is seen through to its record, even where the job is cut
    short.

    Raises:
        FenceLost: Another worker has started the job since; the call is not made.
        ProviderError: The call failed, which is on record, or its preparation, which is not.
    """
    same = call.same
    if same is None or not work.tools.settings.reuse.enabled:
        return (await _pay(work, evolve(call, same=None))).result
    while (flight := work.tools.flights.find(same.fingerprint)) is not None:
        await _until_over(work, flight)
        if flight.error is not None:
            raise _shared(flight.error) from flight.error
        if flight.landed:
            return await _copied(work, call, same, flight.result)
    with work.tools.flights.flying(same.fingerprint) as flight:
        known = await _pay(work, call)
        flight.land(known.result)
    return await _copied(work, call, same, known.result) if isinstance(known, Earlier) else known.result


async def copied(work: Work, service: str, item: str, same: Same, result: Any, *, part: str = "") -> Any:
    """Records an earlier result as this operation's own, or its part's, for nothing."""

    async def make(_: operations.Run) -> Settled:
        return evolve(same.copy(result), charge=prices_now().nothing(item))

    copy = await recorded(work, service, None, make, part=part, certainty=Certainty.REUSED)
    if not part:
        work.report(TaskStatus.COMPLETED, "reused")
    return copy


async def _copied(work: Work, call: Call, same: Same, result: Any) -> Any:
    return await copied(work, call.service, call.estimate.item, same, result, part=call.part)


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


async def _pay(work: Work, call: Call) -> Answered | Earlier:
    make: Make | None = None
    wait = FIRST_LOOK
    while True:
        known: Answered | Earlier | UnderWay | None = await look_up(work, call.same) if call.same else None
        if known is None:
            make = make or await call.prepare()
            await take_turn(work, call.limit)
            known = await _see_through(work, call, make)
        if not isinstance(known, UnderWay):
            return known
        await pause(work, min(wait, known.seconds))
        wait = min(2 * wait, LONGEST_LOOK)


async def _see_through(work: Work, call: Call, make: Make) -> Answered | Earlier | UnderWay:
    async def see(passage: Passage) -> Answered | Earlier | UnderWay:
        begun = await _begin_freshly(work, call)
        if not isinstance(begun, operations.Run):
            return begun
        if passage.cut:
            await _unmake(work, begun)
            return Answered(None)
        return Answered(await _made(work, begun, make()))

    return await work.tools.inflight.see_through(see)


async def _begin_freshly(work: Work, call: Call) -> operations.Run | Earlier | UnderWay:
    # A process that was paused after it began must not call, others may have by now: it begins again, fenced.
    while True:
        asked = time.monotonic()
        begun = await _begin(work, call)
        if not isinstance(begun, operations.Run) or time.monotonic() - asked < FRESH:
            return begun
        await _unmake(work, begun)


async def _begin(work: Work, call: Call) -> operations.Run | Earlier | UnderWay:
    settings = work.tools.settings
    begin: Callable[..., Awaitable[operations.Run | Earlier | UnderWay]] = operations.begin
    if call.same is not None:
        begin = partial(
            operations.begin_unless_known,
            fingerprint=call.same.fingerprint,
            age=settings.reuse.seconds,
        )
    return await begin(
        work.tools.store,
        work.job,
        call.service,
        work.operation,
        estimate=call.estimate,
        seconds=settings.aws.call_timeout + FRESH,
        part=call.part,
    )


async def _unmake(work: Work, run: operations.Run) -> None:
    not_made = TryAgain("the call was on record and then not made", "NotMade")
    await operations.fail(work.tools.store, run, not_made)


async def recorded(
    work: Work,
    service: str,
    estimate: Charge | None,
    make: Callable[[operations.Run], Coroutine[Any, Any, Settled]],
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
        make: Makes them, told of their record.
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
    return await _made(work, run, make(run), certainty)


async def _made(
    work: Work,
    run: operations.Run,
    making: Coroutine[Any, Any, Settled],
    certainty: Certainty = Certainty.BILLED,
) -> Any:
    try:
        settled = await making
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
