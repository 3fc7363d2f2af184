"""What RQ's own tools show of a worker that runs many jobs at once, and what they make it do."""

import os
from typing import Any

import chores
from redis import Redis
from rq import Queue, Worker
from rq.suspension import suspend
from worker_kit import (
    NAME,
    Shell,
    at_work,
    burst,
    ended,
    enqueue_many,
    make_worker,
    options,
    slots,
    status_of,
    until,
)

from mediaq.queue.worker import AsyncWorker

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def only_worker(stock: Queue) -> Worker:
    [worker] = Worker.all(queue=stock)
    return worker  # type: ignore[return-value]


def state(stock: Queue) -> str:
    return str(only_worker(stock).get_state())


def test_one_worker_with_as_many_executions_as_jobs_run(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 10)
    with at_work(make_worker(sync, NAME, "other", name="alice")):
        until(lambda: chores.room.inside == 10)
        shown = only_worker(stock)
        assert (shown.name, shown.get_state(), shown.queue_names()) == ("alice", "busy", [NAME, "other"])
        assert shown.current_execution_count == 10
        executions = shown.get_current_executions()
        assert {execution.job_id for execution in executions} == {job.id for job in jobs}
        assert shown.get_current_job_id() in {job.id for job in jobs}
        for job in jobs:
            [execution] = job.get_executions()
            assert execution.worker_name == "alice"
            assert (job.refresh(), job.worker_name, job.get_status()) == (None, "alice", "started")
        chores.release()


def test_any_class_of_workers_finds_it_by_its_key(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.hold", 3)
    with at_work(make_worker(sync, name="alice")) as worker:
        until(lambda: chores.room.inside == 3)
        for kind in (Worker, AsyncWorker):
            found = kind.find_by_key("rq:worker:alice", connection=sync)
            assert found is not None
            assert (found.pid, found.hostname) == (worker.pid, worker.hostname)
            assert found.current_execution_count == 3


def test_its_state_follows_what_it_does(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync)):
        until(lambda: Worker.all(queue=stock) and state(stock) == "idle")
        job = stock.enqueue("chores.hold")
        until(lambda: state(stock) == "busy")
        chores.release()
        ended(job)
        until(lambda: state(stock) == "idle")


def test_it_counts_what_it_did(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync)):
        jobs = [stock.enqueue("chores.rest", seconds=0.1) for _ in range(3)]
        jobs += [stock.enqueue("chores.afail") for _ in range(2)]
        for job in jobs:
            ended(job)
        shown = only_worker(stock)
        assert (shown.successful_job_count, shown.failed_job_count) == (3, 2)
        assert 0.3 <= shown.total_working_time < 1
        assert shown.last_heartbeat is not None


def test_it_leaves_when_it_ends(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync, name="alice")):
        until(lambda: Worker.all(queue=stock))
    assert Worker.all(connection=sync) == []
    found = Worker.find_by_key("rq:worker:alice", connection=sync)
    assert found is not None
    assert found.death_date is not None


def test_rq_info_shows_it_and_changes_nothing(sync: Redis, stock: Queue, shell: Shell) -> None:
    jobs = enqueue_many(stock, "chores.hold", 13)
    with at_work(make_worker(sync, name="alice")):
        until(lambda: chores.room.inside == 10)
        shown = shell.run("rq", "info", "--raw")
        assert "queue chores 3" in shown
        [line] = [line for line in shown.splitlines() if line.startswith("worker")]
        assert line.startswith(f"worker alice ({only_worker(stock).hostname} ")
        assert line.endswith(f" {os.getpid()}) busy chores. jobs: 0 finished, 0 failed")
        assert "chores: alice (busy)" in shell.run("rq", "info", "--by-queue", "--only-workers", "--raw")
        assert {status_of(job) for job in jobs[:10]} == {"started"}
        assert stock.started_job_registry.count == 10
        chores.release()
        assert {ended(job) for job in jobs} == {"finished"}


# Suspended and paused.


def test_rq_suspends_and_resumes_it(sync: Redis, stock: Queue, shell: Shell) -> None:
    held = stock.enqueue("chores.hold")
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 1)
        shell.run("rq", "suspend", "--duration", "600")
        later = stock.enqueue("chores.anote", "later")
        until(lambda: state(stock) == "suspended")
        chores.release()
        assert ended(held) == "finished", "what runs goes on"
        assert (status_of(later), stock.count) == ("queued", 1)
        shell.run("rq", "resume")
        assert ended(later, seconds=2) == "finished"


def test_a_burst_ends_where_workers_are_suspended(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.anote", "later")
    suspend(sync)
    assert not burst(sync)
    assert status_of(job) == "queued"


def test_a_paused_queue_starts_nothing_and_the_others_go_on(sync: Redis, stock: Queue) -> None:
    other = Queue("other", connection=sync)
    sync.sadd("mediaq:paused", NAME)
    paused = enqueue_many(stock, "chores.anote", 3)
    with at_work(make_worker(sync, NAME, "other", given=slots(1))):
        for turn in range(5):
            assert ended(other.enqueue("chores.anote", turn), seconds=1) == "finished"
        assert {status_of(job) for job in paused} == {"queued"}
        sync.srem("mediaq:paused", NAME)
        assert {ended(job, seconds=2) for job in paused} == {"finished"}


def test_a_paused_queue_is_looked_at_now_and_then(sync: Redis, stock: Queue) -> None:
    sync.sadd("mediaq:paused", NAME)
    stock.enqueue("chores.anote", 1)
    other = Queue("other", connection=sync)
    with at_work(make_worker(sync, NAME, "other", given=options(beat=60, lease=200))):
        assert ended(other.enqueue("chores.anote", 2)) == "finished"
        before = calls_of_scripts(sync)
        assert ended(other.enqueue("chores.rest", seconds=0.5)) == "finished"
        assert calls_of_scripts(sync) - before < 20


def calls_of_scripts(redis: Redis) -> int:
    statistics: Any = redis.info("commandstats")
    return int(statistics["cmdstat_evalsha"]["calls"])


def test_a_queue_paused_while_its_jobs_run_starts_no_more(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 5)
    with at_work(make_worker(sync, given=slots(2))):
        until(lambda: chores.room.inside == 2)
        sync.sadd("mediaq:paused", NAME)
        chores.release()
        until(lambda: stock.finished_job_registry.count == 2)
        until(lambda: state(stock) == "idle")
        assert (stock.count, sorted(map(status_of, jobs))) == (3, ["finished"] * 2 + ["queued"] * 3)


def test_a_burst_ends_where_its_queue_is_paused(sync: Redis, stock: Queue) -> None:
    sync.sadd("mediaq:paused", NAME)
    stock.enqueue("chores.anote", 1)
    assert not burst(sync, given=options())
