"""Workers killed with SIGKILL while another one lives."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field

from proof.checks import Check, at_most, delays, equal, shown
from proof.processes import Worker
from proof.stage import Stage

# Three queues; one worker runs ten jobs at once.
SLOTS = {"one": 4, "two": 3, "three": 3}
RUNNING = sum(SLOTS.values())
WAITING = 100
NAP = 1.0
RESTARTED_WITHIN = 30.0
ALL_DONE_WITHIN = 90.0


@define
class _Toll:
    """What the rounds cost, added up."""

    jobs: list[str] = field(factory=list)
    killed: list[str] = field(factory=list)
    delays: list[float] = field(factory=list)
    waiting: list[int] = field(factory=list)


def kill_workers(stage: Stage) -> list[Check]:
    """Kill a worker that runs ten jobs; another one lives, busy with as many; a hundred wait."""
    toll = _Toll()
    with stage.working(SLOTS):
        for _ in range(stage.effort.rounds):
            _kill_one(stage, toll)
        return [*_judge(stage, toll), equal("traces of running jobs left", {}, stage.traces())]


def kill_workers_watched(stage: Stage) -> list[Check]:
    """Do the same while `rq info` runs in a loop."""
    with _watching(stage) as codes:
        checks = kill_workers(stage)
    return [*checks, shown("runs of rq info", len(codes)), equal("of them failed", 0, sum(map(bool, codes)))]


def hand_on(stage: Stage) -> list[Check]:
    """Kill a worker with 1,000 short jobs after 300; only then start another."""
    slots = {"one": 100}
    jobs = stage.enqueue("one", "nap", 0.05, times=1000)
    with stage.working(slots) as first:
        stage.wait(lambda: stage.redis.zcard("rq:finished:one") >= 300, 30, "300 jobs are finished", first)
        killed = first.kill()
        done = stage.statuses(jobs).get("finished", 0)
    with stage.working(slots) as second:
        stage.wait_for_ends(jobs, 60)
        last = max(entry.time for entry in stage.diary.entries()) - killed
        times = stage.diary.times_started(jobs)
        return [
            shown("finished when the worker was killed", done),
            equal("jobs never finished", 0, len(jobs) - stage.statuses(jobs)["finished"]),
            at_most("from the kill to the last end", 40, last),
            equal("jobs that ran more than twice", 0, sum(n for often, n in times.items() if often > 2)),
            shown("jobs that ran twice", times[2]),
            equal("results of each job", {1: 1000}, stage.ends(jobs)),
            *_clean(stage, second),
        ]


def kill_many(stage: Stage) -> list[Check]:
    """Kill a worker that runs 1,000 jobs at once: they are taken over in time, too."""
    slots = {f"many-{number}": 200 for number in range(5)}
    jobs = [job for queue in slots for job in stage.enqueue(queue, "nap", 60.0, times=200)]
    with stage.working(slots) as survivor:
        survivor.freeze()
        with stage.working(slots) as victim:
            stage.wait(lambda: stage.diary.started_by(victim.pid) == len(jobs), 30, "all jobs run", victim)
            survivor.thaw()
            # Until it is on good terms with Redis again, it takes nobody for dead.
            time.sleep(20)
            killed = victim.kill()
        stage.wait(lambda: len(stage.diary.started_after(killed)) == len(jobs), 60, "all jobs run again")
        return delays("from the kill to the next start", RESTARTED_WITHIN, _delays(stage, jobs, killed))


def kill_by_job(stage: Stage) -> list[Check]:
    """Run a job that kills its worker each time, among jobs that do not; leases are short here."""
    options = {"dead_after": 3.0, "beat": 1.0}
    pill, *others = [*stage.enqueue("one", "kill_worker"), *stage.enqueue("one", "nap", 0.2, times=20)]
    deaths = 0
    while stage.fields(pill)["status"] != "failed":
        with stage.working({"one": 10}, **options) as worker:
            stage.wait(
                lambda: not worker.is_alive or stage.fields(pill)["status"] == "failed", 30, "the next death"
            )
            deaths += not worker.is_alive
            if worker.is_alive:
                stage.wait_for_ends(others, 20)
    return [
        equal("workers that the job killed", 4, deaths),
        equal("its status", "failed", stage.fields(pill)["status"]),
        equal("its reason", "gave up: 4 workers died while they ran this job", stage.reason(pill)),
        equal("the others", {"finished": 20}, stage.statuses(others)),
    ]


def _kill_one(stage: Stage, toll: _Toll) -> None:
    with stage.working(SLOTS) as victim:
        jobs = _enqueue(stage)
        stage.wait(lambda: stage.diary.started_by(victim.pid) >= RUNNING, 30, "ten jobs run", victim)
        killed = victim.kill()
        toll.waiting.append(stage.waiting(*SLOTS))
    lost = stage.running(victim)
    stage.wait_for_ends(jobs, ALL_DONE_WITHIN)
    toll.jobs += jobs
    toll.killed += lost
    toll.delays += _delays(stage, lost, killed)


def _enqueue(stage: Stage) -> list[str]:
    """Enqueue what is to wait, what the victim runs and what the survivor runs, in the queues' shares."""
    total = WAITING + 2 * RUNNING
    return [
        job
        for queue, slots in SLOTS.items()
        for job in stage.enqueue_naps(queue, NAP, total * slots // RUNNING)
    ]


def _delays(stage: Stage, jobs: Sequence[str], since: float) -> list[float]:
    started = stage.diary.started_after(since)
    return [started.get(job, float("inf")) for job in jobs]


def _judge(stage: Stage, toll: _Toll) -> list[Check]:
    fields = {job: stage.fields(job) for job in toll.jobs}
    retries = Counter(each.get("retries_left") for each in fields.values())
    deaths = Counter(job for job, each in fields.items() if each.get("mediaq_deaths") == "1")
    times = stage.diary.times_started(toll.jobs)
    rounds = len(toll.waiting)
    return [
        shown("waiting at the kills", f"{min(toll.waiting)} to {max(toll.waiting)}"),
        equal("running on the killed workers", rounds * RUNNING, len(toll.killed)),
        equal("jobs", {"finished": len(toll.jobs)}, stage.statuses(toll.jobs)),
        *delays("from the kill to the next start", RESTARTED_WITHIN, toll.delays),
        equal("deaths counted", len(toll.killed), stage.outcomes(*SLOTS).get("died", 0)),
        equal("jobs with one death: those killed", True, set(deaths) == set(toll.killed)),
        equal("retries left, of 2 or of none", {"2", None}, set(retries)),
        equal("jobs started twice: those killed", len(toll.killed), times[2]),
        equal("jobs started more often", 0, sum(n for often, n in times.items() if often > 2)),
    ]


def _clean(stage: Stage, worker: Worker) -> list[Check]:
    # The last of its ends are on record before they are off the books of its lanes.
    stage.wait(lambda: not stage.traces(), 10, f"no traces are left, but {stage.traces()}", worker)
    return [equal("traces of running jobs left", {}, stage.traces())]


@contextmanager
def _watching(stage: Stage) -> Iterator[list[int]]:
    over = threading.Event()
    codes: list[int] = []

    def watch() -> None:
        while not over.is_set():
            codes.append(stage.run_tool("info").returncode)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield codes
    finally:
        over.set()
        thread.join()
