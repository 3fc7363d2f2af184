"""A lane a queue: as many jobs at once as it has slots, no more and no fewer."""

import asyncio
import threading
from typing import Any

import chores
import pytest
from redis import Redis
from rq import Queue
from rq.rate_limit import RateLimit
from rq.worker import DequeueStrategy
from worker_kit import (
    at_work,
    burst,
    ended,
    enqueue_many,
    make_worker,
    options,
    slots,
    status_of,
    until,
    work,
)

from mediaq.queue.calls import Calls

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@pytest.fixture
def other(sync: Redis) -> Queue:
    return Queue("other", connection=sync)


@pytest.mark.parametrize("function", ["chores.hold", "chores.hold_thread"])
def test_all_slots_of_a_lane_are_used_and_no_more(sync: Redis, stock: Queue, function: str) -> None:
    enqueue_many(stock, function, 12)
    with at_work(make_worker(sync, given=slots(5))):
        until(lambda: chores.room.inside == 5)
        assert (stock.count, stock.started_job_registry.count) == (7, 5)
        chores.release()
        until(lambda: len(chores.noted) == 12)
    assert chores.room.most == 5


def test_a_lane_has_slots_of_its_own(sync: Redis, stock: Queue, other: Queue) -> None:
    for each in (stock, other):
        enqueue_many(each, "chores.hold", 9)
    given = options(concurrency={"chores": 2, "other": 4})
    with at_work(make_worker(sync, "chores", "other", given=given)):
        until(lambda: chores.room.inside == 6)
        assert (stock.started_job_registry.count, other.started_job_registry.count) == (2, 4)
        chores.release()
        until(lambda: len(chores.noted) == 18)


def test_a_queue_that_is_named_twice_has_no_more_slots(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.hold", 9)
    with at_work(make_worker(sync, "chores", "chores", given=slots(2))):
        until(lambda: chores.room.inside == 2)
        chores.release()
        until(lambda: len(chores.noted) == 9)
    assert chores.room.most == 2


def test_a_queue_may_have_any_name(sync: Redis, stock: Queue) -> None:
    odd = Queue("ünï: {code} x", connection=sync)
    with at_work(make_worker(sync, odd.name)):
        assert ended(odd.enqueue("chores.anote", 1)) == "finished"
        held = odd.enqueue("chores.hold")
        until(lambda: chores.room.inside == 1)
        held.cancel()
        until(lambda: chores.room.inside == 0)
    assert (stock.count, odd.started_job_registry.count, sync.zcard("mediaq:leases")) == (0, 0, 0)


def test_a_freed_slot_is_used_though_the_others_are_held(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.hold", 3)
    enqueue_many(stock, "chores.anote", 20)
    with at_work(make_worker(sync, given=slots(4))):
        until(lambda: len(chores.noted) == 20)
        assert chores.room.inside == 3


def test_one_slot_runs_jobs_in_the_order_of_the_queue(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.anote", 300)
    stock.enqueue("chores.anote", "first", at_front=True)
    burst(sync, given=slots(1))
    assert chores.noted == ["first", *range(300)]


def test_a_waiting_worker_starts_a_job_at_once(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync)):
        assert ended(stock.enqueue("chores.anote", "first")) == "finished"
        for turn in range(20):
            assert ended(stock.enqueue("chores.anote", turn), seconds=0.5) == "finished"


def test_a_lane_may_have_more_slots_than_one_claim_fills(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.hold", 4500)
    with at_work(make_worker(sync, given=slots(4400))):
        until(lambda: chores.room.inside == 4400)
        chores.release()
        until(lambda: len(chores.noted) == 4500)


@pytest.mark.parametrize("count", [1, 7, 25])
def test_max_jobs_is_exact_though_there_are_more_slots_and_queues(
    sync: Redis, stock: Queue, other: Queue, count: int
) -> None:
    jobs = [job for each in (stock, other) for job in enqueue_many(each, "chores.rest", 25, timeout=60)]
    worker = make_worker(sync, "chores", "other", given=slots(20))
    assert work(worker, max_jobs=count)
    assert sorted(map(status_of, jobs)) == ["finished"] * count + ["queued"] * (50 - count)
    assert stock.count + other.count == 50 - count


def test_max_jobs_counts_jobs_that_fail(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.afail") for _ in range(4)]
    work(make_worker(sync), max_jobs=3)
    assert list(map(status_of, jobs)) == ["failed"] * 3 + ["queued"]


def test_burst_runs_what_jobs_enqueue_meanwhile(sync: Redis, stock: Queue) -> None:
    first = stock.enqueue("chores.anote", 1)
    stock.enqueue("chores.anote", 2, depends_on=first)
    assert burst(sync)
    assert chores.noted == [1, 2]


def test_burst_runs_what_jobs_leave_in_any_of_its_queues(sync: Redis, stock: Queue, other: Queue) -> None:
    for _ in range(5):
        other.enqueue("chores.anote", "later", depends_on=stock.enqueue("chores.anote", "first"))
        stock.enqueue("chores.again", 2)
        burst(sync, "chores", "other")
        assert (stock.count, other.count) == (0, 0)
    assert chores.noted == ["first", "later"] * 5


def test_burst_runs_what_a_rate_limit_lets_in_meanwhile(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.anote", turn, rate_limit=RateLimit("all", 1)) for turn in range(4)]
    assert stock.count == 1
    burst(sync)
    assert {status_of(job) for job in jobs} == {"finished"}
    assert sorted(chores.noted) == [0, 1, 2, 3]


def test_burst_takes_no_late_answer_for_what_a_rate_limit_has_let_in_since(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next job is let in while the answer of a claim that did not meet it is still on its way."""
    claim = Calls.claim

    def claim_slowly(calls: Calls, *arguments: Any) -> asyncio.Future[list[Any]]:
        async def arrive() -> list[Any]:
            answer = await claim(calls, *arguments)
            await asyncio.sleep(0.1)
            return answer

        return asyncio.ensure_future(arrive())

    monkeypatch.setattr(Calls, "claim", claim_slowly)
    for number in range(3):
        stock.enqueue("chores.anote", number, rate_limit=RateLimit("limit", 1))
    burst(sync)
    assert sorted(chores.noted) == [0, 1, 2]


@pytest.mark.parametrize("lets_go", [True, False])
def test_burst_takes_what_was_held_if_it_is_held_no_more_when_the_others_have_ended(
    sync: Redis, stock: Queue, lets_go: bool
) -> None:
    """What is held then is left where it is: nothing here tells when that changes."""
    worker, held, asked = make_worker(sync, given=slots(2)), threading.Event(), threading.Event()

    def may_claim(queue: str) -> bool:
        if held.is_set():
            asked.set()
        return not held.is_set()

    worker.may_claim = may_claim
    first = stock.enqueue("chores.hold")
    with at_work(worker, burst=True):
        until(lambda: chores.room.inside == 1)
        held.set()
        enqueue_many(stock, "chores.anote", 2)
        assert asked.wait(5)
        if lets_go:
            held.clear()
        chores.release()
        assert ended(first) == "finished"
        until(lambda: not sync.sismember("rq:workers", worker.key))
    assert stock.count == (0 if lets_go else 2)


def test_burst_without_jobs_ran_nothing(sync: Redis) -> None:
    assert not burst(sync)


def test_by_default_the_first_queue_goes_first_where_there_is_no_room_for_all(
    sync: Redis, stock: Queue, other: Queue
) -> None:
    for each in (stock, other):
        enqueue_many(each, "chores.anote", 3)
    work(make_worker(sync, "other", "chores"), max_jobs=4)
    assert (stock.count, other.count) == (2, 0)


def test_at_random_any_queue_goes_first(sync: Redis, stock: Queue, other: Queue) -> None:
    for each in (stock, other):
        enqueue_many(each, "chores.anote", 40)
    while stock.count == 40 or other.count == 40:
        assert stock.count + other.count > 40, "one of two queues went first 40 times"
        work(make_worker(sync, "chores", "other"), max_jobs=1, dequeue_strategy=DequeueStrategy.RANDOM)
