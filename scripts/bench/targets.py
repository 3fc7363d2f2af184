"""What mediaq is to reach, beside its peers in the same round and, where a limit says so, by itself."""

from collections.abc import Callable, Sequence
from statistics import median

from attrs import frozen

from bench.catalog import BULLMQ, MEDIAQ, PEERS, RQ_FORK, RQ_SIMPLE
from bench.figures import Round
from bench.peer import Runtime

Value = Callable[[Round], float]

_PYTHON_PEERS = tuple(peer.name for peer in PEERS if peer.runtime is Runtime.PYTHON and peer.name != MEDIAQ)
_RATES = ("rate_1", "rate_10", "rate_100")


@frozen
class Target:
    """A number and what it has to be.

    Args:
        title: What it is, unit included.
        value: How it is made from the figures of one round; KeyError or ZeroDivisionError where one of them
            is missing.
        limit: What it has to be.
        most: The limit must not be exceeded; otherwise it must be reached.
    """

    title: str
    value: Value
    limit: float
    most: bool = False


@frozen
class Verdict:
    """A target with the median over the rounds; None where nothing was measured for it."""

    target: Target
    value: float | None

    @property
    def passed(self) -> bool:
        """Tell whether the target is reached."""
        if self.value is None:
            return False
        return self.value <= self.target.limit if self.target.most else self.value >= self.target.limit


def judge(rounds: Sequence[Round]) -> list[Verdict]:
    """Return a verdict for each target; ratios are taken within a round, where the machine is the same."""
    return [Verdict(target, _median(target.value, rounds)) for target in TARGETS]


def _median(value: Value, rounds: Sequence[Round]) -> float | None:
    values = []
    for one in rounds:
        try:
            values.append(value(one))
        except (KeyError, ZeroDivisionError):
            continue
    return median(values) if values else None


def _ours(figure: str) -> Value:
    return lambda one: one[MEDIAQ][figure]


def _against(figure: str, peers: Sequence[str], their_figures: Sequence[str]) -> Value:
    """How many times the best of the peers' figures ours is; all of these peers must have been measured."""

    def value(one: Round) -> float:
        theirs = [one[peer].get(name, 0) for peer in peers for name in their_figures]
        return one[MEDIAQ][figure] / max(theirs)

    return value


def _throughput(concurrency: int, peer: str, title: str, limit: float) -> Target:
    value = _against(f"rate_{concurrency}", [peer], _RATES)
    return Target(f"no-op jobs/s at {concurrency}, times {title} at its best", value, limit)


def _enqueueing(mode: str, title: str) -> Target:
    return Target(
        f"enqueued/s {title}, times the fastest Python peer", _against(mode, _PYTHON_PEERS, [mode]), 1.3
    )


TARGETS = (
    *(_throughput(concurrency, BULLMQ, "BullMQ for Python", 2) for concurrency in (10, 100)),
    *(_throughput(concurrency, RQ_SIMPLE, "RQ's SimpleWorker", 20) for concurrency in (10, 100)),
    *(_throughput(concurrency, RQ_FORK, "RQ's fork worker", 80) for concurrency in (10, 100)),
    _enqueueing("single", "one by one"),
    _enqueueing("gathered", "from 50 coroutines"),
    Target("enqueued/s in batches of 500", _ours("batch"), 18_000),
    Target("50 ms jobs/s, ten at once (ideal 200)", _ours("naps"), 190),
    Target("enqueue to start, p50 in ms", _ours("latency_p50_ms"), 1.5, most=True),
    Target("enqueue to start, p99 in ms", _ours("latency_p99_ms"), 4, most=True),
    Target(
        "bytes of a finished job, times RQ's",
        _against("finished_bytes", [RQ_SIMPLE], ["finished_bytes"]),
        0.5,
        most=True,
    ),
    Target("worker's resident memory at 100, in MiB", _ours("resident_mb_100"), 45, most=True),
)
