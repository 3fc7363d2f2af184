"""From right before a job is enqueued until its function starts, on an idle worker."""

import math

from bench.effort import Effort
from bench.stage import Stage
from bench.stamps import read_stamps

WARM_UP = 20
CONCURRENCY = 10


def measure_latency(stage: Stage, effort: Effort) -> dict[str, float]:
    """Enqueue jobs at a steady pace, so slowly that the worker waits before each."""
    stage.clear()
    with stage.working(min(CONCURRENCY, stage.peer.most_at_once)):
        stage.fill("noop", WARM_UP)
        stage.wait(lambda: stage.finished(WARM_UP) >= WARM_UP)
        stage.produce("probe", str(effort.probes), str(effort.interval))
        stage.wait(lambda: len(read_stamps(stage.stamps)) >= effort.probes)
    seconds = sorted(read_stamps(stage.stamps))
    return {"latency_p50_ms": percentile(seconds, 50) * 1e3, "latency_p99_ms": percentile(seconds, 99) * 1e3}


def percentile(ordered: list[float], percent: float) -> float:
    """Return the smallest value that so many per cent do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]
