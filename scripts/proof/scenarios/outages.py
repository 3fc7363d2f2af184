"""Redis that dies and comes back with its data, that hangs, or comes back empty; cut connections."""

import time
from collections.abc import Sequence

from proof.checks import Check, at_most, equal, holds, shown
from proof.processes import Worker
from proof.scenarios.deaths import RUNNING, SLOTS
from proof.stage import Stage

# Seconds Redis is away: shorter than a lease, and longer.
SHORT, LONG = 3.0, 25.0
JOBS = 110
CUTS = 20


def restart_redis(stage: Stage) -> list[Check]:
    """Kill Redis with SIGKILL while ten jobs run and a hundred wait; it comes back with its data."""
    with stage.working(SLOTS) as worker:
        jobs = [job for _ in range(stage.effort.rounds) for job in _restart_once(stage, worker, SHORT)]
        jobs += _restart_once(stage, worker, LONG)
        return _judge(stage, worker, jobs)


def freeze_redis(stage: Stage) -> list[Check]:
    """Let Redis hang for longer than a lease; nobody is dead, though nobody's lease stands."""
    with stage.working(SLOTS) as first, stage.working(SLOTS):
        jobs = _enqueue(stage, 2.0)
        stage.wait(lambda: stage.diary.started_by(first.pid) >= RUNNING, 30, "ten jobs run", first)
        stage.server.freeze()
        time.sleep(LONG)
        stage.server.thaw()
        stage.wait_for_ends(jobs, 60)
        return _judge(stage, first, jobs)


def empty_redis(stage: Stage) -> list[Check]:
    """Empty Redis while jobs run; what they were is gone, the worker goes on with what comes."""
    with stage.working(SLOTS) as worker:
        gone = _enqueue(stage, 3.0)
        stage.wait(lambda: stage.diary.started_by(worker.pid) == RUNNING, 30, "ten jobs run", worker)
        stage.redis.flushall()
        registered = stage.wait(lambda: stage.redis.exists(f"rq:worker:{worker.name}"), 10, "registered")
        jobs = _enqueue(stage, 0.05)
        took = stage.wait_for_ends(jobs, 30)
        stage.wait(lambda: not stage.traces(), 10, "no traces are left", worker)
        listed = stage.run_tool("info", "--raw", "-W").stdout
        return [
            at_most("until the worker is registered again", 5, registered),
            at_most("until the next 110 jobs are finished", 10, took),
            equal("of the lost ones in Redis", {"gone": JOBS}, stage.statuses(gone)),
            holds("rq info lists the worker", measured=worker.name in listed),
            equal("traces of running jobs left", {}, stage.traces()),
        ]


def cut_connections(stage: Stage) -> list[Check]:
    """Cut all connections twenty times during 2,000 jobs; every other time Redis forgets its scripts, too."""
    slots = {"one": 10}
    with stage.working(slots) as first, stage.working(slots):
        jobs = stage.enqueue("one", "nap", 0.04, times=2000)
        killed = 0
        for number in range(CUTS):
            time.sleep(0.2)
            killed += int(stage.redis.client_kill_filter(_type="normal"))
            if number % 2:
                stage.redis.script_flush("SYNC")
        running = stage.statuses(jobs).get("finished", 0) < len(jobs)
        stage.wait_for_ends(jobs, 60)
        stage.wait(lambda: not stage.traces(), 10, "no traces are left", first)
        times = stage.diary.times_started(jobs)
        return [
            shown("connections cut", killed),
            holds("jobs ran until the last cut", measured=running),
            equal("jobs", {"finished": 2000}, stage.statuses(jobs)),
            equal("jobs never started", 0, times[0]),
            shown("jobs started more than once", sum(n for often, n in times.items() if often > 1)),
            equal("results of each job", {1: 2000}, stage.ends(jobs)),
            shown("attempts by outcome", stage.outcomes("one")),
            equal("traces of running jobs left", {}, stage.traces()),
        ]


def _restart_once(stage: Stage, worker: Worker, seconds: float) -> list[str]:
    started = stage.diary.started_by(worker.pid)
    # They run on while Redis is away; of the long outage they see the end in time, too.
    jobs = _enqueue(stage, 1.0)
    stage.wait(lambda: stage.diary.started_by(worker.pid) >= started + RUNNING, 30, "ten jobs run", worker)
    stage.server.kill()
    time.sleep(seconds)
    stage.server.start()
    stage.wait_for_ends(jobs, 60)
    return jobs


def _enqueue(stage: Stage, seconds: float) -> list[str]:
    return [
        job
        for queue, slots in SLOTS.items()
        for job in stage.enqueue_naps(queue, seconds, JOBS * slots // RUNNING)
    ]


def _judge(stage: Stage, worker: Worker, jobs: Sequence[str]) -> list[Check]:
    stage.wait(lambda: not stage.traces(), 10, "no traces are left", worker)
    times = stage.diary.times_started(jobs)
    return [
        equal("jobs", {"finished": len(jobs)}, stage.statuses(jobs)),
        equal("times each was started", {1: len(jobs)}, dict(times)),
        equal("results of each job", {1: len(jobs)}, stage.ends(jobs)),
        # Starts whose news was lost are taken back before anything has run: those count as interruptions.
        equal("attempts that failed or died", {}, _lost_attempts(stage)),
        equal("traces of running jobs left", {}, stage.traces()),
    ]


def _lost_attempts(stage: Stage) -> dict[str, int]:
    outcomes = stage.outcomes(*SLOTS)
    return {
        outcome: count for outcome, count in outcomes.items() if outcome not in ("finished", "interrupted")
    }
