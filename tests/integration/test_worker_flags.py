"""Every flag of `rq worker -w mediaq.AsyncWorker` does what RQ says it does."""

import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from worker_kit import (
    NAME,
    OUR_WORKER,
    Shell,
    at_work,
    ended,
    enqueue_many,
    make_worker,
    status_of,
    until,
)

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def test_burst_name_and_results_ttl(sync: Redis, stock: Queue, shell: Shell, tmp_path: Path) -> None:
    jobs = enqueue_many(stock, "chores.anote", 20)
    said = shell.worker("--burst", "--name", "alice", "--results-ttl", "77", "--pid", "pid", NAME)
    assert {status_of(job) for job in jobs} == {"finished"}
    assert {result.worker_name for job in jobs for result in job.results()} == {"alice"}
    assert 70 < sync.ttl(jobs[0].key) <= 77
    assert "Worker alice: started with PID " + (tmp_path / "pid").read_text() in said


def test_max_jobs_is_exact(stock: Queue, shell: Shell) -> None:
    jobs = enqueue_many(stock, "chores.rest", 12, timeout=20)
    shell.worker("--max-jobs", "3", "--burst", NAME)
    assert sorted(map(status_of, jobs)) == ["finished"] * 3 + ["queued"] * 9


def test_max_idle_time_ends_the_worker(stock: Queue, shell: Shell) -> None:
    """Not while a job runs that takes longer."""
    job = stock.enqueue("chores.rest", seconds=1.2)
    began = time.monotonic()
    shell.worker("--max-idle-time", "1", NAME)
    assert (status_of(job), time.monotonic() - began > 2.2) == ("finished", True)


def test_a_burst_moves_due_jobs_only_with_the_scheduler(sync: Redis, stock: Queue, shell: Shell) -> None:
    job = stock.enqueue_in(timedelta(seconds=-5), "chores.anote", 1)
    shell.worker("--burst", NAME)
    assert ScheduledJobRegistry(queue=stock).get_job_ids() == [job.id]
    shell.worker("--burst", "--with-scheduler", NAME)
    assert (status_of(job), sync.keys("rq:scheduler*")) == ("finished", [])


def test_json_is_read_and_written(sync: Redis, shell: Shell) -> None:
    stock = Queue(NAME, connection=sync, serializer="json")
    job = stock.enqueue("chores.anote", {"a": [1, None]})
    bad = stock.enqueue("chores.unwritable")
    shell.worker("--burst", "--serializer", "rq.serializers.JSONSerializer", NAME)
    assert [job.return_value(), bad.return_value()] == [{"a": [1, None]}, "Unserializable return value"]
    assert b"eyJ" in sync.xrange(f"rq:results:{job.id}")[0][1][b"return_value"]  # type: ignore[index]


def test_exception_handlers_are_called(sync: Redis, stock: Queue, shell: Shell) -> None:
    job = stock.enqueue("chores.afail", "no luck")
    shell.worker(
        "--burst", "--exception-handler", "chores.handle", "--exception-handler", "chores.handle", NAME
    )
    assert sync.lrange("chores:handled", 0, -1) == [f"{job.id} ValueError no luck".encode()] * 2
    assert FailedJobRegistry(queue=stock).get_job_ids() == [job.id]


def test_failures_are_not_kept_without_the_default_handler(stock: Queue, shell: Shell) -> None:
    job = stock.enqueue("chores.afail", "no luck")
    shell.worker("--burst", "--disable-default-exception-handler", NAME)
    assert (status_of(job), job.results(), FailedJobRegistry(queue=stock).count) == ("failed", [], 0)


def test_dequeue_strategies_serve_all_queues(sync: Redis, stock: Queue, shell: Shell) -> None:
    other = Queue("other", connection=sync)
    jobs = enqueue_many(stock, "chores.anote", 5) + enqueue_many(other, "chores.anote", 5)
    shell.worker("--burst", "--dequeue-strategy", "round_robin", NAME, "other", slots=1)
    assert {status_of(job) for job in jobs} == {"finished"}


def test_the_log_says_as_much_as_is_asked_for(shell: Shell) -> None:
    usual = shell.worker("--burst", NAME)
    assert "started with PID" in usual
    assert "registering birth" not in usual
    assert shell.worker("--burst", "--quiet", NAME) == ""
    formatted = shell.worker(
        "--burst", "--verbose", "--log-format", "<%(message)s> %(asctime)s", "--date-format", "day", NAME
    )
    assert "*** Listening on chores...> day" in formatted
    assert "registering birth> day" in formatted


def test_a_worker_that_is_asked_for_nothing_else_shows_what_goes_wrong(stock: Queue, shell: Shell) -> None:
    stock.enqueue("chores.afail", "no luck")
    stock.enqueue("os.system", "true")
    said = shell.worker("--burst", "--logging_level", "ERROR", "--disable-job-desc-logging", NAME)
    assert "ValueError: no luck" in said
    assert "'os.system' is not among the worker's allowed functions" in said


def test_a_name_that_is_taken_is_refused(sync: Redis, shell: Shell) -> None:
    with at_work(make_worker(sync, name="alice")):
        until(lambda: sync.exists("rq:worker:alice"))
        said = shell.worker("--name", "alice", NAME, status=1)
    assert "There exists an active worker named 'alice' already" in said


def test_a_signal_stops_the_worker(stock: Queue, shell: Shell) -> None:
    job = stock.enqueue("chores.rest", seconds=0.5)
    with shell.start(*OUR_WORKER, NAME) as process:
        until(lambda: status_of(job) == "started")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=10)
    assert (process.returncode, status_of(job)) == (0, "finished")
    assert "warm shut down requested" in said
    assert Worker.all(queue=stock) == []


# Faster in the test's own process.


def test_the_workers_hash_lives_as_long_as_its_ttl_says(sync: Redis) -> None:
    """RQ's: the monitoring interval bounds it, for a worker beats while it works."""
    flags: list[tuple[dict[str, Any], int]] = [
        ({"worker_ttl": 10}, 70),
        ({"job_monitoring_interval": 20}, 80),
    ]
    for given, seconds in [*flags, ({}, 90)]:
        with at_work(make_worker(sync, **given)) as worker:
            until(lambda: sync.ttl(worker.key) in (seconds - 1, seconds))  # noqa: B023


def test_maintenance_is_done_so_often(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync, maintenance_interval=1)):
        until(lambda: sync.exists("rq:workers:chores"))
        for _ in range(2):
            sync.sadd("rq:workers:chores", "rq:worker:long-gone")
            until(lambda: not sync.sismember("rq:workers:chores", "rq:worker:long-gone"), seconds=3)


def test_the_scheduler_always_runs_where_there_is_no_burst(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync)):
        job = stock.enqueue_in(timedelta(seconds=1), "chores.anote", 1)
        assert status_of(job) == "scheduled"
        assert ended(job, seconds=4) == "finished"
    assert sync.keys("rq:scheduler*") == [], "others may take over at once"


# Pools.


def test_a_pool_in_burst_runs_all_there_is(stock: Queue, shell: Shell) -> None:
    jobs = enqueue_many(stock, "chores.tell", 100)
    shell.run("rq", "worker-pool", "-w", "mediaq.AsyncWorker", "-n", "2", "-b", NAME)
    assert {status_of(job) for job in jobs} == {"finished"}


def test_a_pool_shares_the_work_and_stops_together(sync: Redis, stock: Queue, shell: Shell) -> None:
    with shell.start("rq", "worker-pool", "-w", "mediaq.AsyncWorker", "-n", "2", NAME, slots=4) as process:
        until(lambda: len(Worker.all(queue=stock)) == 2, seconds=20)
        jobs = [stock.enqueue("chores.rest", seconds=1) for _ in range(8)]
        until(lambda: [worker.current_execution_count for worker in Worker.all(queue=stock)] == [4, 4])
        for job in jobs:
            assert ended(job) == "finished"
        assert len({Job.fetch(job.id, connection=sync).worker_name for job in jobs}) == 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert (process.returncode, Worker.all(queue=stock)) == (0, [])
