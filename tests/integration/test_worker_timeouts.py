"""A job that takes too long is cut short, and says so."""

import chores
import pytest
from redis import Redis
from rq import Callback, Queue, Retry
from worker_kit import at_work, ended, error_of, make_worker, outcomes, slots, status_of, until

from mediaq.queue import run

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def test_a_coroutine_is_cut_short_and_may_clean_up(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.clean_up", "tidy", job_timeout=1)
    other = stock.enqueue("chores.hold", job_timeout=60)
    with at_work(make_worker(sync)):
        assert ended(job, seconds=1.5) == "failed"
        assert status_of(other) == "started"
        assert chores.noted == ["tidy"]
        assert "JobTimeoutException: Task exceeded maximum timeout value (1 seconds)" in error_of(job)
        assert "in clean_up" in error_of(job), "where it was cut short is on record"
        assert outcomes(sync) == {"timed_out": 1}


def test_a_plain_function_keeps_its_slot_until_its_thread_ends(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold_thread", "late", job_timeout=1)
    following = stock.enqueue("chores.anote", "following")
    with at_work(make_worker(sync, given=slots(1))):
        assert ended(job, seconds=1.5) == "failed"
        assert "JobTimeoutException" in error_of(job)
        assert (chores.room.inside, status_of(following)) == (1, "queued")
        chores.release()
        assert ended(following) == "finished"
        assert chores.noted == ["late", "following"]
    assert (status_of(job), len(job.results())) == ("failed", 1), "what it returned too late is dropped"


def test_a_timeout_uses_up_a_retry(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", "second", job_timeout=1, retry=Retry(max=1))
    with at_work(make_worker(sync)):
        until(lambda: outcomes(sync) == {"timed_out": 1})
        chores.release()
        assert ended(job) == "finished"
    assert [result.type.name for result in job.results()] == ["SUCCESSFUL", "RETRIED"]


def test_a_job_without_a_timeout_may_take_for_ever(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.rest", "done", 1.2, job_timeout=-1)
    with at_work(make_worker(sync)):
        assert ended(job) == "finished"


def test_a_job_that_catches_its_cancellation_once_ends_as_it_likes(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.swallow_once", job_timeout=1)
    with at_work(make_worker(sync)):
        until(lambda: chores.noted == ["swallowed"])
        chores.release()
        assert ended(job) == "finished"
    assert job.return_value() == "late"


def test_a_job_that_catches_every_cancellation_is_reported_and_keeps_its_slot(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "INSIST_EVERY", 0.02)
    job = stock.enqueue("chores.swallow_all", job_timeout=1)
    following = stock.enqueue("chores.anote", "following")
    with at_work(make_worker(sync, given=slots(1))):
        assert ended(job, seconds=2) == "failed"
        assert "JobTimeoutException" in error_of(job)
        assert (chores.room.inside, status_of(following)) == (1, "queued")
        chores.release()
        assert ended(following) == "finished"
    assert (status_of(job), chores.noted) == ("failed", ["through", "following"])


def test_a_callback_has_a_timeout_of_its_own(sync: Redis, stock: Queue) -> None:
    slow = Callback("chores.slow_callback", timeout=1)
    good = stock.enqueue("chores.anote", "word", on_success=slow)
    bad = stock.enqueue("chores.afail", "word", on_failure=slow)
    with at_work(make_worker(sync)):
        for job in (good, bad):
            assert ended(job, seconds=2) == "failed"
            assert "JobTimeoutException: Task exceeded maximum timeout value (1 seconds)" in error_of(job)
