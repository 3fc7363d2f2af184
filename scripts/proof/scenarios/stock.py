"""Stock workers that die: ours run their jobs, or fail them with a reason after too many deaths."""

import time

from rq.job import Retry
from rq.utils import as_text

from mediaq.queue import keys
from proof.checks import Check, at_most, delays, equal
from proof.stage import Stage, StuckError

NAP = 300.0
WITHIN = 30.0
DEATHS = 3
# Seconds until a worker has been on good terms with Redis for a lease: before, it takes nobody for dead.
SETTLED = 20


def free_stuck(stage: Stage) -> list[Check]:
    """Leave jobs where a stock worker leaves one that it took and did not live to start."""
    with stage.working({"one": 10}) as worker:
        time.sleep(SETTLED)
        worker.freeze()
        jobs = stage.enqueue_naps("one", 0.1, 10)
        for _ in jobs:
            stage.redis.blmove(keys.queue("one"), keys.intermediate("one"), 1)
        worker.thaw()
        since = time.time()
        stage.wait_for_ends(jobs, 60)
        started = stage.diary.started_after(since)
        return [
            *delays("until they were started", WITHIN, list(started.values())),
            equal("jobs", {"finished": 10}, stage.statuses(jobs)),
            equal("times each was started", {1: 10}, dict(stage.diary.times_started(jobs))),
            equal("left behind", 0, stage.redis.exists(keys.intermediate("one"), keys.stuck("one"))),
            equal("traces of running jobs left", {}, stage.traces()),
        ]


def kill_stock(stage: Stage) -> list[Check]:
    """Kill stock workers in the middle of two jobs, with retries and without; RQ's times are cut short."""
    with stage.working({"other": 1}), stage.working({"other": 1}):
        time.sleep(SETTLED)
        [without] = stage.enqueue("one", "nap_in_thread", NAP)
        checks = [_die_until_poison(stage, without, "without retries", None)]
        [having] = stage.enqueue("one", "nap_in_thread", NAP, retry=Retry(2))
        checks += [_die_until_poison(stage, having, "with retries", "2")]
    return [check for part in checks for check in part]


def run_on(stage: Stage) -> list[Check]:
    """Kill a stock worker in the middle of a job; one of ours runs it to the end."""
    release = stage.folder / "release"
    release.unlink(missing_ok=True)
    [job] = stage.enqueue("one", "wait_for_in_thread", str(release))
    with stage.stock_working("one") as worker:
        stage.wait(lambda: stage.diary.starts(), 30, "the job runs", worker)
        worker.kill()
    release.touch()
    with stage.working({"one": 1}):
        time.sleep(SETTLED)
        before = stage.fields(job)["status"]
        _expire(stage)
        took = stage.wait_for_ends([job], 30)
        return [
            equal("before RQ's entry expired", "started", before),
            at_most("from then to its end", WITHIN, took),
            equal("its deaths", "1", stage.fields(job)["mediaq_deaths"]),
            equal("traces of running jobs left", {}, stage.traces()),
        ]


def _die_until_poison(stage: Stage, job: str, title: str, retries: str | None) -> list[Check]:
    waits = []
    while stage.fields(job)["status"] != "failed":
        with stage.stock_working("one") as worker:
            stage.wait(lambda: stage.fields(job)["status"] == "started", 30, "the job runs", worker)
            worker.kill()
        _expire(stage)
        waits.append(stage.wait(lambda: stage.fields(job)["status"] != "started", 30, "it is taken over"))
        if len(waits) > DEATHS + 1:
            raise StuckError(f"job {job} has died {len(waits)} times")
    fields = stage.fields(job)
    return [
        *delays(f"{title}: until the dead worker was noticed", WITHIN, waits),
        equal(f"{title}: deaths until it failed", str(DEATHS + 1), fields.get("mediaq_deaths")),
        equal(f"{title}: retries left", retries, fields.get("retries_left")),
        equal(f"{title}: its reason", _REASON, stage.reason(job)),
    ]


_REASON = f"gave up: {DEATHS + 1} workers died while they ran this job"


def _expire(stage: Stage) -> None:
    """Let RQ's entries expire now, which otherwise takes 60 to 90 s."""
    for member, _ in stage.redis.zscan_iter(keys.started("one")):
        stage.redis.zadd(keys.started("one"), {as_text(member): time.time() - 1})
