"""A peer as data."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from attrs import frozen
from redis import Redis

PEERS = Path(__file__).parent / "peers"


class Runtime(Enum):
    """What runs a peer's programs."""

    PYTHON = "Python"
    NODE = "Node"


@frozen
class Peer:
    """One of those that are measured.

    Args:
        name: How it is chosen and shown.
        title: What it is, for people.
        producer: The module in `peers` that enqueues for it.
        worker: The arguments with which its runtime starts a worker; `{concurrency}` is filled in.
        finished: How many of so many jobs have their result on record, from one cheap command.
        packages: What its environment holds, pinned; none where it is in mediaq's own.
        pace: Jobs a second that it is about to reach; only says how many jobs make a run of some seconds.
        concurrencies: The numbers of jobs at once that it is measured with.
        modes: The ways of enqueueing it has; none where another peer has the same producer.
        runtime: What runs its programs.
    """

    name: str
    title: str
    producer: str
    worker: tuple[str, ...]
    finished: Callable[[Redis, int], int]
    pace: int
    packages: tuple[str, ...] = ()
    concurrencies: tuple[int, ...] = (1, 10, 100)
    modes: tuple[str, ...] = ("single", "gathered")
    runtime: Runtime = Runtime.PYTHON

    @property
    def produce_arguments(self) -> tuple[str, ...]:
        """The arguments with which its runtime starts a producer."""
        if self.runtime is Runtime.NODE:
            return (str(PEERS / f"{self.producer}.cjs"), "produce")
        return ("-m", "bench.produce", self.producer)

    @property
    def most_at_once(self) -> int:
        """The largest concurrency it is measured with."""
        return max(self.concurrencies)
