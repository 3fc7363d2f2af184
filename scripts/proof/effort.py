"""How much of each fault."""

from attrs import frozen


@frozen
class Effort:
    """Sizes of the scenarios.

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
