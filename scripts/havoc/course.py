"""The course of a run: requests and faults at their times, until every accepted job is closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import httpx
from attrs import field, frozen
from redis.exceptions import RedisError

from havoc.catalog import DEPLOYS, KINDS
from havoc.crew import Roster
from havoc.faults import Blow, Fault, NoEffectError, Struck
from havoc.ground import AWAY, Ground
from havoc.orders import Order
from havoc.poll import until
from havoc.webapp import WebApp
from mediaq.embedded.processes import ProcessFailedError

# Seconds that open jobs have to end in after the last request. A stock worker's death shows after 90.
PATIENCE = 300.0
# Seconds for answers on their way to be put on record: a call's own timeout, and a little.
SETTLING = 7.0
# Seconds that a fault waits for jobs to strike.
MEETING = 10.0
_POLL = 0.25
_STRIKES = {kind.name: kind.strike for kind in (*KINDS, DEPLOYS)}
_ANY_OPEN = "select exists (select from jobs where status in ('waiting', 'active', 'delayed'))"


@frozen
class Plan:
    """What is to happen.

    Args:
        orders: The jobs that are asked for.
        faults: What goes wrong.
        roster: Who takes part.
        seconds: Over how much time.
    """

    orders: Sequence[Order]
    faults: Sequence[Fault]
    roster: Roster
    seconds: float


@frozen
class Course:
    """What happened.

    Args:
        seconds: How long it took from the first request until all was quiet.
        struck: The faults, in the order in which they were over.
    """

    seconds: float
    struck: Sequence[Struck] = field(factory=list)


async def run(ground: Ground, webapp: WebApp, plan: Plan, tell: Callable[[float, Struck], None]) -> Course:
    """Send the requests and strike the faults, each at its time; return when all is over.

    Args:
        ground: What faults act upon.
        webapp: Sends the requests.
        plan: What is to happen.
        tell: Told of each fault, with the seconds since the first request.
    """
    began = time.monotonic()
    struck: list[Struck] = []

    async def at(seconds: float) -> None:
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))

    async def send(order: Order) -> None:
        await at(order.due)
        await webapp.send(order)

    async def strike(fault: Fault) -> None:
        await at(fault.at)
        struck.append(await _strike(ground, plan.roster, fault))
        tell(time.monotonic() - began, struck[-1])

    try:
        async with asyncio.timeout(plan.seconds + PATIENCE), asyncio.TaskGroup() as group:
            for fault in plan.faults:
                group.create_task(strike(fault))
            sending = [group.create_task(send(order)) for order in plan.orders]
            await asyncio.wait(sending)
            await until(partial(_all_closed, ground), every=_POLL)
            ground.quiet.set()
    except TimeoutError:
        pass  # what is still open will be seen on record
    await asyncio.sleep(SETTLING)
    return Course(time.monotonic() - began, struck)


async def _strike(ground: Ground, roster: Roster, fault: Fault) -> Struck:
    async with ground.turns(fault):
        met: frozenset[str] = frozenset()
        try:
            met = await _meet(ground, roster, fault)
            return Struck(fault, await _STRIKES[fault.kind](ground, fault), met)
        except (NoEffectError, ProcessFailedError, RedisError, httpx.HTTPError, *AWAY) as error:
            now = time.time()
            return Struck(fault, Blow(now, now, str(error) or type(error).__name__), met, took_effect=False)


async def _meet(ground: Ground, roster: Roster, fault: Fault) -> frozenset[str]:
    """Wait for jobs that the fault meets, on the workers that it strikes or anywhere; return them."""
    strikes_workers = set(fault.targets) & set(roster.all_workers)
    look = partial(ground.under_way_on, fault.targets) if strikes_workers else ground.under_way
    with suppress(TimeoutError):
        return await until(look, most=MEETING, every=_POLL)
    return frozenset()


async def _all_closed(ground: Ground) -> bool:
    """Tell whether no job is open; while Postgres is away nobody knows that."""
    try:
        async with ground.postgres() as connection:
            return not await connection.fetchval(_ANY_OPEN)
    except AWAY:
        return False
