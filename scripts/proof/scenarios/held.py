"""Workers that seem dead and are not: a held event loop, a process that stands still."""

import time

from proof.checks import Check, equal, holds
from proof.processes import Worker
from proof.stage import Stage

HOLDERS = {"sleeping": "hold_by_sleep", "spinning": "hold_by_spin"}
BESIDE = 9
FROZEN = 40.0


def hold_loops(stage: Stage) -> list[Check]:
    """Hold the loops of two workers, by time.sleep and by a Python spin; a third one is idle beside them."""
    slots = dict.fromkeys(HOLDERS, 10)
    with (
        stage.working({"sleeping": 10}) as sleeping,
        stage.working({"spinning": 10}) as spinning,
        stage.working(slots) as idle,
    ):
        idle.freeze()
        jobs = [job for queue in HOLDERS for job in _enqueue_held(stage, queue, stage.effort.block)]
        stage.wait(lambda: len(stage.diary.starts()) == len(jobs), 30, "all jobs run", spinning)
        idle.thaw()
        later = [job for queue in HOLDERS for job in stage.enqueue(queue, "nap", 0.1, times=10)]
        stage.wait_for_ends(later, 40)
        held = stage.statuses(jobs).get("started", 0) == len(jobs)
        stage.wait_for_ends(jobs, stage.effort.block + 30)
        return [
            holds("both loops were held while the third worker did 20 jobs", measured=held),
            *_judge_held(stage, [*jobs, *later]),
            *(
                holds(f"the log of the {queue} worker names the code", measured=_is_named(worker, task))
                for worker, (queue, task) in zip((sleeping, spinning), HOLDERS.items(), strict=True)
            ),
        ]


def freeze_worker(stage: Stage) -> list[Check]:
    """Let a worker stand still for 40 s; when it goes on, its jobs are another's, and partly done."""
    with stage.working({"one": 20}) as frozen:
        short = stage.enqueue("one", "nap", 5.0, times=5)
        # Frozen at once, they end when it goes on: in the middle of their second run.
        long = stage.enqueue("one", "nap", FROZEN - 5, times=5)
        jobs = [*short, *long]
        stage.wait(lambda: stage.diary.started_by(frozen.pid) == 10, 30, "ten jobs run", frozen)
        with stage.working({"one": 20}) as other:
            # For as long as a lease it takes nobody for dead; by then the frozen worker's have lapsed.
            frozen.freeze()
            time.sleep(FROZEN)
            frozen.thaw()
            done = stage.statuses(short)
            stage.wait_for_ends(jobs, 60)
            stage.wait(lambda: not stage.traces(), 20, "no traces are left", frozen)
            last = stage.enqueue("one", "nap", 0.5, times=30)
            stage.wait_for_ends(last, 20)
            return [
                equal("short jobs before it went on", {"finished": 5}, done),
                equal("times each was started", {2: 10}, dict(stage.diary.times_started(jobs))),
                equal("of them by the other worker", 10, _by(stage, other, jobs)),
                equal("results of each job", {1: 10}, stage.ends(jobs)),
                equal("attempts by outcome", {"died": 10, "finished": 40}, stage.outcomes("one")),
                holds("the frozen worker works on", measured=bool(_by(stage, frozen, last))),
                equal("traces of running jobs left", {}, stage.traces()),
            ]


def _enqueue_held(stage: Stage, queue: str, seconds: float) -> list[str]:
    # Their time runs out while the loop is held, though they are through long before.
    beside = stage.enqueue(queue, "nap", seconds / 4, times=BESIDE, timeout=int(seconds / 2))
    return [*beside, *stage.enqueue(queue, HOLDERS[queue], seconds, timeout=int(seconds * 2))]


def _judge_held(stage: Stage, jobs: list[str]) -> list[Check]:
    return [
        equal("jobs", {"finished": len(jobs)}, stage.statuses(jobs)),
        equal("times each was started", {1: len(jobs)}, dict(stage.diary.times_started(jobs))),
        equal("attempts by outcome", {"finished": len(jobs)}, stage.outcomes(*HOLDERS)),
        equal("traces of running jobs left", {}, stage.traces()),
    ]


def _is_named(worker: Worker, task: str) -> bool:
    printed = worker.log.read_text()
    return "holds the event loop" in printed and f"in {task}" in printed


def _by(stage: Stage, worker: Worker, jobs: list[str]) -> int:
    return sum(entry.pid == worker.pid and entry.job in jobs for entry in stage.diary.starts())
