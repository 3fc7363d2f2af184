"""Calls under way in this process, by what makes two calls the same: who comes later waits for the first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from mediaq.errors import ProviderError


@define(eq=False)
class Flight:
    """One call.

    Args:
        over: Set when it is over, however it ended.
        landed: Whether it has a result, which is on record.
        result: The result.
        error: Why the provider did not give one.
    """

    over: asyncio.Event = field(factory=asyncio.Event)
    landed: bool = False
    result: Any = None
    error: ProviderError | None = None

    def land(self, result: Any) -> None:
        """Gives those who wait the result."""
        self.landed, self.result = True, result


class Flights:
    """The calls under way in this process; other processes are kept apart in Postgres."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def find(self, fingerprint: str) -> Flight | None:
        """Returns the call under way, if there is one."""
        return self._flights.get(fingerprint)

    @contextmanager
    def flying(self, fingerprint: str) -> Iterator[Flight]:
        """Has others wait for the block; what the provider fails with is theirs, too.

        A block that ends without a result for a reason of its own, as when its job is cancelled, leaves the
        others to try for themselves.
        """
        flight = self._flights[fingerprint] = Flight()
        try:
            yield flight
        except ProviderError as error:
            flight.error = error
            raise
        finally:
            del self._flights[fingerprint]
            flight.over.set()
