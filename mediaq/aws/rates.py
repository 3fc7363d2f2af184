"""Calls per second, kept by all workers together.

Every caller draws a ticket in Redis and sleeps until it is served: one round trip, no polling, first come,
first served. Who has to wait for long gives way meanwhile and asks again shortly before, as the rate may have
been cut.

AWS's own count has another clock and hears of a call later than ours, by a time that varies. Calls that are
spaced at the full rate would now and then find AWS's bucket empty, and what is refused there is lost; at a
share of 0.98 that bucket fills up while ours drains, and has room for calls that the network has bunched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

from loguru import logger

from mediaq.quotas import default_rate
from mediaq.shared_limits import Away, SharedLimits

Parked = Callable[[], AbstractAsyncContextManager[None]]

# Seconds' worth of calls that may be made at once after a pause, one at least.
BURST = 0.1
# Seconds that are slept through; who has to wait longer gives way and asks again LEAD seconds before. That is
# also how long the line still is when its worker takes further jobs: long enough for them to come.
NEAR = 2.0
LEAD = 1.5
# Seconds by which a call may miss its time before it has to draw another ticket.
LATE = 0.5
# What a throttled answer leaves of the rate, and the least that many of them do; at most one a second counts.
CUT = 0.7
LEAST = 0.02
CUT_EVERY = 1.0


class Rates:
    """How fast operations may be called.

    Args:
        shared: Redis.
        region: AWS's region: quotas are by account and region.
        rates: Calls per second, by operation; of others AWS's default quota.
        share: The share of them that is used.
    """

    def __init__(self, shared: SharedLimits, region: str, rates: Mapping[str, float], share: float) -> None:
        self._shared = shared
        self._region = region
        self._rates = rates
        self._share = share
        self._own: dict[str, _Own] = {}

    def rate(self, operation: str) -> float:
        """Returns the calls per second that are made at most."""
        name = operation.partition(":")[0]
        return self._share * (self._rates.get(name) or default_rate(name, self._region))

    async def turn(self, operation: str, parked: Parked = nullcontext) -> None:
        """Waits until an operation may be called; the call is to follow at once.

        Cancelling it wastes one call's time. While Redis is away, each process keeps the rate for itself.

        Args:
            operation: Service and operation, `rekognition.DetectLabels` say; with what AWS counts apart
                behind a colon, as `bedrock.InvokeModel:amazon.titan-embed-text-v2:0`.
            parked: Entered for the time of a wait of more than two seconds, until shortly before its end.
        """
        clock = asyncio.get_running_loop().time
        ticket, delay = await self._ask(operation, "")
        while delay > 0:
            if delay > NEAR:
                async with parked():
                    await asyncio.sleep(delay - LEAD)
            else:
                due = clock() + delay
                await asyncio.sleep(delay)
                if clock() - due < LATE:
                    return
            ticket, delay = await self._ask(operation, ticket)

    async def throttled(self, operation: str) -> None:
        """Slows everybody down for a while, for AWS has refused a call as one too many."""
        args = (*self._terms(operation), CUT, LEAST, CUT_EVERY)
        try:
            share = await self._shared.run(("rate", "throttled"), (self._key(operation),), args)
        except Away:
            return
        if share:
            logger.warning("{} is throttled: at {:.0%} of its rate for now", operation, share / 1000)

    async def _ask(self, operation: str, ticket: str) -> tuple[str, float]:
        """Returns the caller's ticket and the seconds until it is served."""
        rate, burst = self._terms(operation)
        try:
            found, delay = await self._shared.run(
                ("rate", "turn"), (self._key(operation),), (rate, burst, ticket, LATE)
            )
        except Away:
            own = self._own.setdefault(operation, _Own(rate, burst))
            return own.ask(ticket, asyncio.get_running_loop().time())
        return str(found), delay / 1e6

    def _terms(self, operation: str) -> tuple[float, float]:
        rate = self.rate(operation)
        return rate, max(1.0, rate * BURST)

    def _key(self, operation: str) -> str:
        return f"mediaq:rate:{self._region}:{operation}"


class _Own:
    """One process's rate: the time of the next call, which lags behind by as much as may be made at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._each = 1 / rate
        self._lag = (burst - 1) / rate
        self._next = 0.0

    def ask(self, ticket: str, now: float) -> tuple[str, float]:
        # Its tickets name a time, and mean nothing to Redis should it be back before that.
        if ticket.startswith("at "):
            return ticket, max(0.0, float(ticket[3:]) - now)
        at = max(self._next, now - self._lag)
        self._next = at + self._each
        return f"at {at}", max(0.0, at - now)
