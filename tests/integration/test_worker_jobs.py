"""What a job knows of itself, what it leaves, and who is told."""

from typing import Any

import chores
import pytest
from redis import Redis
from rq import Callback, Queue, Retry, get_current_job
from rq.command import send_stop_job_command
from rq.job import Job
from worker_kit import at_work, burst, ended, error_of, make_worker, slots, status_of, traces, until, work

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def finish(sync: Redis, *jobs: Job) -> list[Any]:
    burst(sync)
    for job in jobs:
        assert status_of(job) == "finished", error_of(job)
    return [job.return_value() for job in jobs]


def test_a_job_knows_itself_in_tasks_and_threads_of_its_own(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.my_ids") for _ in range(10)]
    assert finish(sync, *jobs) == [[job.id] * 5 for job in jobs]


def test_a_plain_function_knows_its_job(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.my_id") for _ in range(10)]
    assert finish(sync, *jobs) == [job.id for job in jobs]
    assert get_current_job() is None


def test_a_plain_function_may_return_a_coroutine(sync: Redis, stock: Queue) -> None:
    assert finish(sync, stock.enqueue("chores.indirect", "done")) == ["done"]


def test_a_job_that_deletes_itself_leaves_nothing(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.delete_itself")
    burst(sync)
    assert traces(sync, job.id) == []


def test_a_running_job_reads_its_own_description(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.progress", 3, job_timeout=77)
    with at_work(make_worker(sync)) as worker:
        until(lambda: chores.room.inside == 1)
        seen = Job.fetch(job.id, connection=sync)
        assert seen.get_meta() == {"step": 3}, "what it says of its progress is seen while it runs"
        assert (seen.worker_name, seen.started_at is not None) == (worker.name, True)
        chores.release()
        assert ended(job) == "finished"
    assert job.return_value() == {"id": job.id, "args": (3,), "timeout": 77, "status": "started"}
    assert job.get_meta() == {"step": 3}


def test_meta_saved_by_a_plain_function_stays(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.progress_thread", 5, meta={"of": 9})
    finish(sync, job)
    assert job.get_meta() == {"of": 9, "step": 5}


@pytest.mark.parametrize("function", ["chores.paint", "chores.paint_thread"])
def test_context_variables_are_a_jobs_own(sync: Redis, stock: Queue, function: str) -> None:
    jobs = [stock.enqueue(function, str(turn)) for turn in range(20)]
    for turn, [found, *own] in enumerate(finish(sync, *jobs)):
        assert (found, set(own)) == ("none", {str(turn)})


def test_what_a_job_returns_is_kept_as_rq_keeps_it(sync: Redis, stock: Queue) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", b"\x00\xff"), "c": {"d": set("ab")}}
    job = stock.enqueue("chores.anote", value)
    assert finish(sync, job) == [value]
    assert job.result_ttl is None
    assert 490 < sync.ttl(job.key) <= 500, "RQ's default"


def test_success_and_failure_are_told_with_what_came_of_it(sync: Redis, stock: Queue) -> None:
    told = {"on_success": Callback("chores.on_success"), "on_failure": Callback("chores.on_failure")}
    good = stock.enqueue("chores.anote", 5, **told)
    bad = stock.enqueue("chores.afail", "no luck", **told)
    burst(sync, given=slots(1))
    assert chores.noted == [
        5,
        ("success", good.id, True, 5),
        ("failure", bad.id, "ValueError", "no luck", True),
    ]


def test_a_failing_success_callback_fails_the_job(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.anote", 5, on_success=Callback("chores.bad_callback"))
    burst(sync)
    assert status_of(job) == "failed"
    assert "RuntimeError: the callback failed" in error_of(job)


def test_a_failing_failure_callback_takes_the_errors_place(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.afail", "no luck", on_failure=Callback("chores.bad_callback"))
    burst(sync)
    assert status_of(job) == "failed"
    assert "RuntimeError: the callback failed" in error_of(job)


@pytest.mark.parametrize("function", ["chores.anote", "chores.afail"])
def test_a_callback_that_exits_fails_its_job_only(sync: Redis, stock: Queue, function: str) -> None:
    exiting = Callback("chores.exit_callback")
    job = stock.enqueue(function, "no luck", on_success=exiting, on_failure=exiting)
    with at_work(make_worker(sync)):
        assert ended(job) == "failed"
        assert "SystemExit" in error_of(job)
        assert ended(stock.enqueue("chores.anote", 2)) == "finished"


def test_a_callback_that_exits_does_not_keep_a_job_from_being_stopped(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", on_stopped=Callback("chores.exit_callback"))
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 1)
        send_stop_job_command(sync, job.id)
        assert ended(job) == "stopped"


def test_a_coroutine_is_no_callback(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.anote", 5, on_success=Callback("chores.coroutine_callback"))
    burst(sync)
    assert "Coroutine success callbacks are not supported" in error_of(job)
    assert chores.noted == [5]


def test_callbacks_do_not_hold_up_other_jobs(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.anote", 1, on_success=Callback("chores.slow_callback"))
    with at_work(make_worker(sync)):
        until(lambda: chores.annexe.inside == 1)
        assert ended(stock.enqueue("chores.anote", 2), seconds=1) == "finished"
        assert status_of(job) == "started"
        chores.release()
        assert ended(job) == "finished"


def test_exception_handlers_are_told_in_turn(sync: Redis, stock: Queue) -> None:
    seen: list[object] = []

    def first(job: Job, kind: type, error: Exception, trace: object) -> None:
        seen.append(("first", job.id, kind, str(error)))

    def second(job: Job, *_: object) -> bool:
        seen.append(("second", job.id))
        return False

    job = stock.enqueue("chores.afail", "no luck")
    burst(sync, exception_handlers=[first, second, first])
    assert seen == [("first", job.id, ValueError, "no luck"), ("second", job.id)]


@pytest.mark.parametrize("handler", [chores.bad_callback, chores.exit_callback])
def test_a_failing_exception_handler_changes_nothing(sync: Redis, stock: Queue, handler: Any) -> None:
    job = stock.enqueue("chores.afail", "no luck")
    work(make_worker(sync, exception_handlers=[handler]), max_jobs=1)
    assert status_of(job) == "failed"
    assert "ValueError: no luck" in error_of(job)


def test_the_error_of_each_attempt_stays_readable(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.afail", "no luck", retry=Retry(max=2))
    burst(sync)
    assert [result.type.name for result in job.results()] == ["FAILED", "RETRIED", "RETRIED"]
    assert all("ValueError: no luck" in (result.exc_string or "") for result in job.results())
