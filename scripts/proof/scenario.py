"""A scenario as data."""

from collections.abc import Callable, Sequence

from attrs import frozen

from proof.checks import Check
from proof.stage import Stage


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
    run: Callable[[Stage], Sequence[Check]]
