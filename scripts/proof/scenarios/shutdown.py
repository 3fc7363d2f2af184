"""Workers that are asked to stop: once, twice, while a job holds the loop, while Redis is away."""

import time
from pathlib import Path

from rq.job import Retry
from rq.utils import as_text

from proof.checks import Check, at_most, equal, holds, shown
from proof.stage import Stage

SLOTS = {"one": 10}
GRACE = 10.0
# A worker that cannot end by itself is ended after so many seconds more.
LAST_RESORT = 3.0
STARTING_TO_END = 1.5
# Two signals within a second count as one.
APART = 1.2
COLD = 2.0


def stop_warm(stage: Stage) -> list[Check]:
    """SIGTERM with eight long jobs and two short ones: the long ones go back to the front of their queue."""
    release = stage.folder / "release"
    with stage.working(SLOTS) as worker:
        short = stage.enqueue("one", "nap", 2.0, times=2)
        long = _enqueue_long(stage, release, times=8)
        stage.wait(lambda: len(stage.diary.starts()) == 10, 30, "ten jobs run", worker)
        waiting = stage.enqueue("one", "nap", 0.1, times=5)
        worker.stop()
        took = worker.seconds_to_end(30)
    checks = [
        at_most("from SIGTERM to the end", GRACE + STARTING_TO_END, took),
        equal("its exit code", 0, worker.process.returncode),
        equal("short jobs", {"finished": 2}, stage.statuses(short)),
        holds(
            "handed back in their order, before those that wait", measured=_queue(stage) == [*long, *waiting]
        ),
    ]
    return [*checks, *_judge_handed_back(stage, release, long, waiting, 8)]


def stop_cold(stage: Stage) -> list[Check]:
    """SIGTERM twice: the jobs go back at once."""
    release = stage.folder / "release"
    with stage.working(SLOTS) as worker:
        long = _enqueue_long(stage, release, times=10)
        stage.wait(lambda: len(stage.diary.starts()) == 10, 30, "ten jobs run", worker)
        worker.stop()
        time.sleep(APART)
        worker.stop()
        took = worker.seconds_to_end(30)
    return [
        at_most("from the second SIGTERM to the end", COLD, took),
        *_judge_handed_back(stage, release, long, [], 10),
    ]


def stop_held(stage: Stage) -> list[Check]:
    """SIGTERM while a coroutine holds the loop: the process ends all the same, its jobs run elsewhere."""
    held = min(stage.effort.block, 60)
    release = stage.folder / "release"
    with stage.working(SLOTS) as worker:
        long = _enqueue_long(stage, release, times=8)
        [short] = stage.enqueue("one", "nap", 0.3)
        [holder] = stage.enqueue("one", "hold_by_sleep", held, 0.5)
        stage.wait(lambda: len(stage.diary.starts()) == 10, 30, "ten jobs run", worker)
        time.sleep(1)
        worker.stop()
        took = worker.seconds_to_end(held + 30)
    checks = [
        at_most("from SIGTERM to the end", GRACE + LAST_RESORT + STARTING_TO_END, took),
        equal("the job that had ended", {"finished": 1}, stage.statuses([short])),
    ]
    # What held the loop would hold the next one, too.
    stage.redis.lrem("rq:queue:one", 1, holder)
    return [*checks, *_judge_handed_back(stage, release, long, [], 9)]


def stop_threads(stage: Stage) -> list[Check]:
    """SIGTERM while plain functions run, which nothing can end: their jobs go back all the same."""
    with stage.working(SLOTS) as worker:
        jobs = stage.enqueue("one", "nap_in_thread", 40.0, times=5)
        stage.wait(lambda: len(stage.diary.starts()) == 5, 30, "five jobs run", worker)
        worker.stop()
        took = worker.seconds_to_end(30)
    return [
        at_most("from SIGTERM to the end", GRACE + STARTING_TO_END, took),
        equal("jobs", {"queued": 5}, stage.statuses(jobs)),
        equal("attempts by outcome", {"interrupted": 5}, stage.outcomes("one")),
    ]


def stop_without_redis(stage: Stage) -> list[Check]:
    """SIGTERM while Redis is away: the process ends; its jobs are run by others when Redis is back."""
    release = stage.folder / "release"
    with stage.working(SLOTS) as worker:
        long = _enqueue_long(stage, release, times=10)
        stage.wait(lambda: len(stage.diary.starts()) == 10, 30, "ten jobs run", worker)
        stage.server.kill()
        worker.stop()
        took = worker.seconds_to_end(40)
    stage.server.start()
    release.touch()
    with stage.working(SLOTS):
        again = stage.wait_for_ends(long, 40)
    release.unlink()
    return [
        at_most("from SIGTERM to the end", GRACE + LAST_RESORT + STARTING_TO_END, took),
        at_most("from Redis' return to the last end", 30, again),
        equal("jobs", {"finished": 10}, stage.statuses(long)),
        shown("attempts by outcome", stage.outcomes("one")),
    ]


def _enqueue_long(stage: Stage, release: Path, times: int) -> list[str]:
    """Enqueue jobs that run until they are let go: long on one worker, short on the next."""
    release.unlink(missing_ok=True)
    return stage.enqueue("one", "wait_for", str(release), times=times, retry=Retry(2))


def _queue(stage: Stage) -> list[str]:
    return [as_text(job) for job in stage.redis.lrange("rq:queue:one", 0, -1)]


def _judge_handed_back(
    stage: Stage, release: Path, long: list[str], waiting: list[str], interrupted: int
) -> list[Check]:
    fields = [stage.fields(job) for job in long]
    checks = [
        equal("handed back", {"queued": len(long)}, stage.statuses(long)),
        equal("interruptions of each", {"1"}, {each.get("mediaq_interruptions") for each in fields}),
        equal("deaths of each", {None}, {each.get("mediaq_deaths") for each in fields}),
        equal("interruptions counted", interrupted, stage.outcomes("one").get("interrupted")),
        equal("retries left of each", {"2"}, {each.get("retries_left") for each in fields}),
        equal("workers that RQ lists", 0, stage.redis.scard("rq:workers")),
    ]
    release.touch()
    with stage.working(SLOTS):
        took = stage.wait_for_ends([*long, *waiting], 30)
        checks += [
            at_most("until another worker has finished them", 5, took),
            equal("times each was started", {2: len(long)}, dict(stage.diary.times_started(long))),
        ]
    release.unlink()
    return checks
