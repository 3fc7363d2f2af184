"""How long to measure."""

from attrs import frozen


@frozen
class Effort:
    """Sizes of the measurements.

    Args:
        seconds: About how long a run of jobs takes; it is cut at twice that.
        enqueue_seconds: How long jobs are enqueued to see how fast that goes.
        probes: Jobs of which the latency is taken.
        interval: Seconds between two of them.
        kept: Jobs that are queued and finished to see the memory they take.
    """

    seconds: float
    enqueue_seconds: float
    probes: int
    interval: float
    kept: int


FULL = Effort(seconds=3, enqueue_seconds=1.5, probes=200, interval=0.05, kept=2000)
QUICK = Effort(seconds=0.3, enqueue_seconds=0.15, probes=20, interval=0.02, kept=100)
