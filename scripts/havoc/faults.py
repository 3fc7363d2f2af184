"""A fault as data: its kind, when and where it strikes, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from havoc.ground import Ground


class NoEffectError(Exception):
    """A fault did nothing that could be seen; the message says what was looked for."""


@frozen
class Fault:
    """Something that is to go wrong.

    Args:
        kind: The name of its kind.
        at: Seconds after the first request.
        targets: The processes that it strikes; none where it strikes calls.
        seconds: How long it lasts, or how much a call is delayed.
        calls: How many calls it spoils.
    """

    kind: str
    at: float
    targets: tuple[str, ...] = ()
    seconds: float = 0.0
    calls: int = 0

    @property
    def target(self) -> str:
        """The one process that it strikes."""
        [target] = self.targets
        return target


@frozen
class Blow:
    """What was seen of a fault.

    Args:
        began: When it struck, in seconds since the epoch.
        ended: When it was over; of a kill, when it struck.
        seen: Its effect, in words.
    """

    began: float
    ended: float
    seen: str


@frozen
class Struck:
    """A fault that struck.

    Args:
        fault: The fault.
        blow: What was seen of it.
        met: The jobs that were running when it struck: on its targets where these are workers, else all.
        took_effect: Whether it did anything.
    """

    fault: Fault
    blow: Blow
    met: frozenset[str]
    took_effect: bool = True


Strike = Callable[["Ground", Fault], Awaitable[Blow]]


@frozen
class Kind:
    """A kind of fault.

    Args:
        name: What it is chosen by.
        title: What happens.
        strike: Makes it happen, and returns what was seen of it once it is over.
        role: What its target is; empty where it strikes calls.
        seconds: The shortest and the longest time.
        calls: The fewest and the most calls.
    """

    name: str
    title: str
    strike: Strike
    role: str = ""
    seconds: tuple[float, float] = (0, 0)
    calls: tuple[int, int] = (0, 0)
