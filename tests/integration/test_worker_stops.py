"""Jobs that are stopped, cancelled or deleted while they run, by any client of RQ."""

import gc
import statistics
import time
from typing import Any

import chores
import pytest
from redis import Redis
from rq import Callback, Queue, Retry, Worker
from rq.command import send_command, send_shutdown_command, send_stop_execution_command, send_stop_job_command
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from worker_kit import (
    Working,
    at_work,
    ended,
    enqueue_many,
    error_of,
    make_worker,
    options,
    outcomes,
    slots,
    status_of,
    traces,
    until,
)

from mediaq.queue import run

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def inside(count: int) -> None:
    until(lambda: chores.room.inside == count)


def beats(redis: Redis, count: int) -> None:
    """Waits until the only worker has shown so many signs of life."""
    [worker] = Worker.all(connection=redis)
    for _ in range(count):
        last = redis.hget(worker.key, "last_heartbeat")
        until(lambda: redis.hget(worker.key, "last_heartbeat") != last)  # noqa: B023


def stop(job: Job) -> float:
    """Stops a job; the seconds that took."""
    began = time.monotonic()
    send_stop_job_command(job.connection, job.id)
    assert ended(job) == "stopped"
    return time.monotonic() - began


def test_a_coroutine_is_stopped_within_a_tenth_of_a_second(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 9)
    with at_work(make_worker(sync)):
        inside(9)
        took = [stop(jobs[0])]
        assert {status_of(job) for job in jobs[1:]} == {"started"}
        took += map(stop, jobs[1:])
        assert statistics.median(took) < 0.1
        inside(0)
    assert "stopped by user" in error_of(jobs[0])
    assert (chores.noted, outcomes(sync)) == ([], {"stopped": 9})
    assert FailedJobRegistry(queue=stock).count == 9, "as in RQ"


def test_a_stopped_job_may_clean_up_and_tells_its_callback(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.clean_up", "tidy", on_stopped=Callback("chores.on_stopped"))
    with at_work(make_worker(sync)):
        inside(1)
        stop(job)
    assert chores.noted == ["tidy", ("stopped", job.id)]


def test_one_execution_is_stopped_and_no_other(sync: Redis, stock: Queue) -> None:
    first, second = enqueue_many(stock, "chores.hold", 2)
    with at_work(make_worker(sync)):
        inside(2)
        [execution] = second.get_executions()
        send_stop_execution_command(sync, second.id, execution.id)
        assert ended(second) == "stopped"
        assert status_of(first) == "started"


def test_a_plain_function_is_reported_at_once_and_keeps_its_slot(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold_thread", "late")
    following = stock.enqueue("chores.anote", "following")
    with at_work(make_worker(sync, given=slots(1))):
        inside(1)
        assert stop(job) < 0.5
        assert (chores.room.inside, status_of(following)) == (1, "queued")
        chores.release()
        assert ended(following) == "finished"
    assert chores.noted == ["late", "following"]
    assert (status_of(job), job.return_value(), len(job.results())) == ("stopped", None, 1)


def test_a_stopped_job_is_not_tried_again(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", retry=Retry(max=3))
    with at_work(make_worker(sync)):
        inside(1)
        stop(job)
    assert (stock.count, outcomes(sync)) == (0, {"stopped": 1})


def test_a_job_that_turns_its_stop_into_an_error_is_stopped_all_the_same(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue(
        "chores.turn_into_error", retry=Retry(max=3), on_failure=Callback("chores.on_failure")
    )
    with at_work(make_worker(sync)):
        inside(1)
        stop(job)
    assert (chores.noted, outcomes(sync)) == ([], {"stopped": 1})


def test_what_a_stopped_job_returns_all_the_same_is_dropped(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.swallow_once", on_success=Callback("chores.on_success"))
    with at_work(make_worker(sync)):
        inside(1)
        send_stop_job_command(sync, job.id)
        until(lambda: chores.noted == ["swallowed"])
        chores.release()
        assert ended(job) == "stopped"
    assert (job.return_value(), chores.noted) == (None, ["swallowed"])


def test_a_job_that_does_not_end_is_reported_and_keeps_its_slot(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "INSIST_EVERY", 0.02)
    job = stock.enqueue("chores.swallow_all")
    following = stock.enqueue("chores.anote", "following")
    with at_work(make_worker(sync, given=slots(1))):
        inside(1)
        stop(job)
        assert (chores.room.inside, status_of(following)) == (1, "queued")
        chores.release()
        assert ended(following) == "finished"
    assert (status_of(job), chores.noted) == ("stopped", ["through", "following"])


@pytest.mark.parametrize("function", ["chores.hold", "chores.hold_thread", "chores.turn_into_error"])
def test_a_job_cancelled_while_it_runs_is_cut_short_and_leaves_nothing(
    sync: Redis, stock: Queue, function: str
) -> None:
    job = stock.enqueue(function, on_failure=Callback("chores.on_failure"), retry=Retry(max=3))
    with at_work(make_worker(sync)) as worker:
        inside(1)
        job.cancel()
        until(lambda: worker.jobs is not None and not worker.jobs.runs)
        chores.release()
        until(lambda: traces(sync, job.id) == [f"rq:job:{job.id}"])
        assert stock.canceled_job_registry.get_job_ids() == [job.id]
    assert (status_of(job), outcomes(sync)) == ("canceled", {})
    assert chores.noted in ([], [None]), "no callback is called"


@pytest.mark.parametrize("function", ["chores.hold", "chores.hold_thread", "chores.fail_after_hold"])
def test_a_job_deleted_while_it_runs_goes_on_and_leaves_nothing(
    sync: Redis, stock: Queue, function: str
) -> None:
    job = stock.enqueue(function, "done", retry=Retry(max=3))
    with at_work(make_worker(sync)):
        inside(1)
        job.delete()
        beats(sync, 2)
        chores.release()
        until(lambda: chores.noted == ["done"])
        until(lambda: traces(sync, job.id) == [])
    assert (traces(sync, job.id), outcomes(sync), stock.count) == ([], {}, 0)


def test_a_job_that_redis_forgets_while_it_runs_is_not_brought_back(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", "done")
    with at_work(make_worker(sync)):
        inside(1)
        sync.delete(job.key)
        beats(sync, 2)
        assert not sync.exists(job.key)
        chores.release()
        until(lambda: chores.noted == ["done"])
    assert traces(sync, job.id) == []


# Seldom beats: what is done to a running job goes unnoticed until its end.
UNAWARE = options(beat=60, lease=200)


def test_a_job_deleted_just_before_it_ends_leaves_nothing(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 10)
    with at_work(make_worker(sync, given=UNAWARE)):
        inside(10)
        for job in jobs[:5]:
            job.delete()
        sync.delete(*(job.key for job in jobs[5:]))
        chores.release()
        inside(0)
    assert [traces(sync, job.id) for job in jobs] == [[]] * 10


def test_a_job_cancelled_just_before_it_ends_is_cancelled(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 5)
    with at_work(make_worker(sync, given=UNAWARE)):
        inside(5)
        for job in jobs[:3]:
            job.cancel()
        for job in jobs[3:]:
            job.set_status(JobStatus.CANCELED)
        chores.release()
        inside(0)
    assert {status_of(job) for job in jobs} == {"canceled"}
    assert [traces(sync, job.id) for job in jobs] == [[job.key] for job in jobs]
    assert (stock.finished_job_registry.count, outcomes(sync)) == (0, {})


def test_a_job_cancelled_before_it_starts_does_not_start(sync: Redis, stock: Queue) -> None:
    first, second = enqueue_many(stock, "chores.anote", 2)
    first.cancel()
    sync.lpush(stock.key, first.id)
    with at_work(make_worker(sync)):
        assert ended(second) == "finished"
    assert (status_of(first), chores.noted) == ("canceled", [1])


def test_commands_that_make_no_sense_do_not_deafen_the_worker(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold")
    with at_work(make_worker(sync)) as worker:
        inside(1)
        for message in (b"no json", b"\xff", b"[1]", b'"text"', b"null", b"{}", b'{"command": ["stop-job"]}'):
            sync.publish(worker.pubsub_channel_name, message)
        send_command(sync, worker.name, "stop-job", job_id=["a", "b"])
        send_command(sync, worker.name, "stop-execution")
        send_command(sync, worker.name, "kill-horse")
        send_command(sync, worker.name, "stop-execution", job_id=job.id, execution_id="another")
        assert status_of(job) == "started"
        stop(job)


def test_workers_that_are_stopped_at_once_leave_nothing_open(sync: Redis, stock: Queue) -> None:
    before = count_clients(sync)
    for turn in range(15):
        with at_work(make_worker(sync)):
            time.sleep(turn / 1000)
    # What was left open warns when it is collected, and a warning is an error.
    gc.collect()
    until(lambda: count_clients(sync) <= before)
    assert stock.count == 0


def count_clients(redis: Redis) -> int:
    clients: Any = redis.client_list()
    return len(clients)


def test_the_shutdown_command_stops_the_worker(sync: Redis, stock: Queue) -> None:
    stock.enqueue("chores.hold", "done")
    worker = make_worker(sync)
    thread = Working(worker, {})
    thread.start()
    inside(1)
    send_shutdown_command(sync, worker.name)
    until(lambda: sync.hexists(worker.key, "shutdown_requested_date"))
    later = stock.enqueue("chores.anote", "later")
    chores.release()
    assert thread.result()
    assert (chores.noted, status_of(later)) == (["done"], "queued")
