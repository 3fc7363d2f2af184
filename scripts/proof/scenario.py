"""A scenario as data."""

from collections.abc import Callable, Sequence

from attrs import frozen

from proof.checks import Check
from proof.stage import Stage


@frozen
class Effort:
    """How much of each fault.

    Args:
        rounds: How often workers and servers are killed.
        block: Seconds an event loop is held.
        silence: Seconds a worker is idle before a job comes.
        samples: How often.
    """

    rounds: int = 10
    block: float = 120
    silence: float = 15
    samples: int = 20


QUICK = Effort(rounds=1, block=20, silence=3, samples=4)


@frozen
class Scenario:
    """A kind of fault.

    Args:
        name: What it is chosen by.
        title: What happens.
        run: Makes it happen on a stage and returns what came of it.
    """

    name: str
    title: str
    run: Callable[[Stage, Effort], Sequence[Check]]
