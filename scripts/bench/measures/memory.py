"""Bytes of Redis memory that a queued job takes, and a finished one with its result."""

from typing import Any

from bench.effort import Effort
from bench.stage import Stage

WARM_UP = 20
CONCURRENCY = 10


def measure_memory(stage: Stage, effort: Effort) -> dict[str, float]:
    """Compare the server's memory, while nobody else is connected, before and after some thousand jobs."""
    stage.clear()
    stage.fill("noop", WARM_UP)
    _finish(stage, WARM_UP)  # the server keeps the scripts it has seen
    stage.clear()
    empty = _used(stage)
    stage.fill("noop", effort.kept)
    queued = _used(stage)
    _finish(stage, effort.kept)
    finished = _used(stage)
    return {
        "queued_bytes": (queued - empty) / effort.kept,
        "finished_bytes": (finished - empty) / effort.kept,
    }


def _finish(stage: Stage, jobs: int) -> None:
    with stage.working(min(CONCURRENCY, stage.peer.most_at_once)):
        stage.wait(lambda: stage.finished(jobs) >= jobs)


def _used(stage: Stage) -> int:
    memory: dict[str, Any] = stage.redis.info("memory")
    return int(memory["used_memory"])
