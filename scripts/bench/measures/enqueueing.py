"""Jobs enqueued a second by one producer: one after the other, from 50 coroutines, in batches of 500."""

from bench.effort import Effort
from bench.stage import Stage, read_timing


def measure_enqueueing(stage: Stage, effort: Effort, mode: str) -> dict[str, float]:
    """Enqueue without a worker for some time."""
    stage.clear()
    return {mode: read_timing(stage.produce("time", mode, str(effort.enqueue_seconds)))}
