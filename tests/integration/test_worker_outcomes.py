"""Whatever a job raises or returns is its outcome, and no other job's trouble."""

import chores
import pytest
from redis import Redis
from rq import Queue
from rq.registry import FailedJobRegistry
from worker_kit import (
    at_work,
    burst,
    ended,
    enqueue_many,
    error_of,
    make_worker,
    outcomes,
    status_of,
    until,
)

from mediaq.queue import ends

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@pytest.mark.parametrize("how", ["fail", "afail", "fail_in_task"])
@pytest.mark.parametrize("what", chores.RAISED)
def test_whatever_a_job_raises_fails_that_job_only(sync: Redis, stock: Queue, how: str, what: str) -> None:
    held = stock.enqueue("chores.hold", "held")
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 1)
        job = stock.enqueue(f"chores.{how}", what)
        assert ended(job, seconds=3) == "failed"
        assert ended(stock.enqueue("chores.anote", "next"), seconds=3) == "finished"
        assert status_of(held) == "started"
        chores.release()
        assert ended(held, seconds=3) == "finished"
    assert chores.WORDS.get(what, what) in error_of(job)
    assert outcomes(sync) == {"failed": 1, "finished": 2}


def test_what_cannot_be_written_is_replaced_as_in_rq(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.unwritable")
    burst(sync)
    assert (status_of(job), job.return_value()) == ("finished", "Unserializable return value")


def test_halves_of_characters_are_returned_as_they_are(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.halves")
    burst(sync)
    assert job.return_value() == "\ud800 \udfff"


def test_a_huge_result_is_returned_whole(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.huge", 20)
    burst(sync)
    assert job.return_value() == "x" * 20 * 2**20


def test_a_result_longer_than_redis_takes_fails_its_job_only(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "MOST_BYTES", 2**20)
    job = stock.enqueue("chores.huge", 1)
    next_job = stock.enqueue("chores.anote", "next")
    burst(sync)
    assert (status_of(job), status_of(next_job)) == ("failed", "finished")
    assert "ResultTooLong: the job returned 1398" in error_of(job)


def test_an_end_that_redis_refuses_fails_its_job_only(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 9)
    sync.set(f"rq:results:{jobs[4].id}", "not a stream")
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 9)
        chores.release()
        until(lambda: stock.finished_job_registry.count == 8)
        assert ended(jobs[4]) == "failed"
        assert ended(stock.enqueue("chores.anote", "next")) == "finished"
    assert FailedJobRegistry(queue=stock).get_job_ids() == [jobs[4].id]
    assert b"WRONGTYPE" in (sync.hget(jobs[4].key, "exc_info") or b"")
    assert (stock.started_job_registry.count, outcomes(sync)) == (0, {"finished": 9, "failed": 1})


def test_a_job_that_spoils_its_own_description_fails(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue(f"chores.{name}", name) for name in ("mistreat_job", "mistreat_and_fail")]
    with at_work(make_worker(sync)):
        for job in jobs:
            assert ended(job, seconds=3) in ("finished", "failed")
    assert (stock.count, stock.started_job_registry.count) == (0, 0)


def test_attempts_are_counted_by_how_they_ended(sync: Redis, stock: Queue) -> None:
    for _ in range(3):
        stock.enqueue("chores.anote", 1)
    stock.enqueue("chores.again", 2)
    stock.enqueue("chores.afail", "x")
    stock.enqueue("os.system", "false")
    burst(sync)
    assert outcomes(sync) == {"finished": 3, "failed": 2, "retried": 2, "refused": 1}
    assert FailedJobRegistry(queue=stock).count == 3


def test_each_queue_counts_its_own(sync: Redis, stock: Queue) -> None:
    stock.enqueue("chores.anote", 1)
    Queue("other", connection=sync).enqueue("chores.afail", 1)
    burst(sync, "chores", "other")
    assert (outcomes(sync), outcomes(sync, "other")) == ({"finished": 1}, {"failed": 1})
