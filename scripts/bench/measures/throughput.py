"""Jobs a second, from the first finished job to the last.

All jobs are enqueued before the worker starts. Its start does not count: the clock runs from a look that sees
a new result on record to the first that sees all of them, or to the time limit.
"""

import time
from typing import Any

from attrs import frozen

from bench.effort import Effort
from bench.stage import POLL, Stage, StalledError
from bench.worker import Worker

NAPS_AT_ONCE = 10
NAPS_A_SECOND = 200


@frozen
class Run:
    """What one run showed.

    Args:
        rate: Jobs a second.
        cpu: Seconds of processor time of the worker a job.
        commands: Redis commands a job, those of Lua scripts included.
        resident: Bytes of resident memory of the worker in the end.
    """

    rate: float
    cpu: float
    commands: float
    resident: int


def measure_noops(stage: Stage, effort: Effort, concurrency: int) -> dict[str, float]:
    """Jobs that do nothing, at one concurrency; memory and costs a job besides."""
    jobs = int(stage.peer.pace * effort.seconds)
    run = _run(stage, "noop", concurrency, jobs=jobs, limit=2 * effort.seconds)
    return {
        f"rate_{concurrency}": run.rate,
        f"cpu_us_{concurrency}": run.cpu * 1e6,
        f"commands_{concurrency}": run.commands,
        f"resident_mb_{concurrency}": run.resident / 2**20,
    }


def measure_naps(stage: Stage, effort: Effort) -> dict[str, float]:
    """Jobs that wait 50 ms, ten at once where the peer can: at best 200 a second."""
    concurrency = min(NAPS_AT_ONCE, stage.peer.most_at_once)
    pace = min(NAPS_A_SECOND * concurrency / NAPS_AT_ONCE, stage.peer.pace)
    run = _run(stage, "nap", concurrency, jobs=int(pace * effort.seconds), limit=2 * effort.seconds)
    return {"naps": run.rate}


def _run(stage: Stage, job: str, concurrency: int, *, jobs: int, limit: float) -> Run:
    stage.clear()
    stage.fill(job, jobs)
    with stage.working(concurrency) as worker:
        stage.wait(lambda: stage.finished(jobs) > 0)
        return _watch(stage, worker, jobs, limit)


def _watch(stage: Stage, worker: Worker, jobs: int, limit: float) -> Run:
    first, began = _next_finish(stage, jobs, stage.finished(jobs))
    stage.redis.config_resetstat()
    cpu = worker.cpu_seconds()
    looks, done, now = 1, first, began
    while done < jobs and now < began + limit:
        time.sleep(POLL)
        done, now = stage.finished(jobs), time.perf_counter()
        looks += 1
    count = done - first
    if count == 0:
        raise StalledError(f"{stage.peer.title} finished too few jobs to see how fast it is")
    commands = _commands(stage) - looks  # ours: the looks and the reset
    cpu = worker.cpu_seconds() - cpu
    return Run(count / (now - began), cpu / count, commands / count, worker.resident_bytes())


def _next_finish(stage: Stage, jobs: int, before: int) -> tuple[int, float]:
    """Wait for the next result on record: jobs that end together are to be all in or all out."""
    stage.wait(lambda: stage.finished(jobs) > min(before, jobs - 1))
    return stage.finished(jobs), time.perf_counter()


def _commands(stage: Stage) -> int:
    stats: dict[str, Any] = stage.redis.info("commandstats")
    return sum(command["calls"] for command in stats.values())
