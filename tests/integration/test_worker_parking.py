"""Parking: a job that only waits for something outside gives its slot back meanwhile."""

import chores
from redis import Redis
from rq import Queue
from rq.command import send_stop_job_command
from worker_kit import at_work, ended, enqueue_many, error_of, make_worker, slots, status_of, traces, until

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def test_a_parked_job_makes_room_for_the_next(sync: Redis, stock: Queue) -> None:
    parked = stock.enqueue("chores.park", "parked")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        assert ended(stock.enqueue("chores.anote", "second"), seconds=1) == "finished"
        assert status_of(parked) == "started"
        chores.release()
        assert ended(parked) == "finished"
    assert chores.noted == ["second", "parked"]


def test_a_waiting_job_takes_a_parked_ones_slot_at_once(sync: Redis, stock: Queue) -> None:
    stock.enqueue("chores.park")
    stock.enqueue("chores.anote", "second")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.noted == ["second"], seconds=1)


def test_a_parked_job_is_active(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.park", 5)
    with at_work(make_worker(sync, given=slots(1))) as worker:
        until(lambda: chores.room.inside == 5)
        assert stock.started_job_registry.count == 5
        assert worker.current_execution_count == 5


def test_no_more_jobs_are_taken_beyond_the_slots_than_may_be(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.park", 9)
    with at_work(make_worker(sync, given=slots(2, parked=3))):
        until(lambda: chores.room.inside == 5)
        assert stock.count == 4
        chores.release()
        until(lambda: len(chores.noted) == 9)


def test_who_waits_keeps_no_slot_from_one_that_comes_back(sync: Redis, stock: Queue) -> None:
    """Not even where no further job may be taken: those that wait may wait for the very one."""
    short = stock.enqueue("chores.park_for", 0.3)
    with at_work(make_worker(sync, given=slots(1, parked=1))):
        until(lambda: status_of(short) == "started")
        stock.enqueue("chores.park")
        until(lambda: chores.room.inside == 1)
        assert ended(short, seconds=3) == "finished"
        assert chores.room.inside == 1
        chores.release()


def test_a_job_that_comes_back_waits_for_a_slot(sync: Redis, stock: Queue) -> None:
    parked = stock.enqueue("chores.park", "parked")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        stock.enqueue("chores.hold_in_annexe", "second")
        until(lambda: chores.annexe.inside == 1)
        chores.room.open()
        until(lambda: chores.room.inside == 0)
        assert (chores.noted, status_of(parked)) == ([], "started")
        chores.release()
        assert ended(parked) == "finished"
    assert chores.annexe.most == 1


def test_jobs_come_back_in_their_order_and_before_new_ones(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.park_for_number", 5)
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 5)
        stock.enqueue("chores.hold_in_annexe", "held")
        until(lambda: chores.annexe.inside == 1)
        stock.enqueue("chores.anote", "new")
        chores.room.open()
        until(lambda: len(chores.arrived) == 5)
        chores.release()
        until(lambda: "new" in chores.noted)
    assert chores.noted == ["held", *chores.arrived, "new"]


def test_slots_are_not_exceeded_when_many_come_back_at_once(sync: Redis, stock: Queue) -> None:
    enqueue_many(stock, "chores.park", 20)
    with at_work(make_worker(sync, given=slots(3))):
        until(lambda: chores.room.inside == 20)
        chores.room.open()
        until(lambda: chores.annexe.inside == 3)
        enqueue_many(stock, "chores.hold_in_annexe", 5)
        chores.annexe.open()
        until(lambda: len(chores.noted) == 25)
    assert chores.annexe.most == 3


def test_many_short_waits_lose_no_slot(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.park_in_turn", 60)
    with at_work(make_worker(sync, given=slots(2))):
        for job in jobs:
            assert ended(job) == "finished"
        enqueue_many(stock, "chores.hold", 3)
        until(lambda: chores.room.inside == 2)


def test_a_wait_that_ends_while_a_claim_is_under_way_takes_its_slot(sync: Redis, stock: Queue) -> None:
    with at_work(make_worker(sync, given=slots(1))):
        for turn in range(100):
            assert ended(stock.enqueue("chores.park_in_turn", turn % 3), seconds=2) == "finished"


def test_a_job_stopped_while_parked_leaves_nothing_behind(sync: Redis, stock: Queue) -> None:
    parked = stock.enqueue("chores.park")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        send_stop_job_command(sync, parked.id)
        assert ended(parked) == "stopped"
        enqueue_many(stock, "chores.hold", 3)
        until(lambda: chores.room.inside == 1)
        assert stock.count == 2


def test_a_job_stopped_while_it_comes_back_gives_way(sync: Redis, stock: Queue) -> None:
    first, second = (stock.enqueue("chores.park", word) for word in ("first", "second"))
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 2)
        stock.enqueue("chores.hold_in_annexe", "held")
        until(lambda: chores.annexe.inside == 1)
        chores.room.open()
        send_stop_job_command(sync, first.id)
        assert ended(first) == "stopped"
        chores.annexe.open()
        assert ended(second) == "finished"
        assert ended(stock.enqueue("chores.anote", "last")) == "finished"
        assert chores.noted == ["held", "second", "last"]
        chores.annexe.close()
        enqueue_many(stock, "chores.hold_in_annexe", 3)
        until(lambda: chores.annexe.inside == 1)
        assert stock.count == 2


def test_a_parked_job_is_stopped_at_once_though_no_slot_is_free(sync: Redis, stock: Queue) -> None:
    parked = stock.enqueue("chores.park")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        stock.enqueue("chores.hold_in_annexe", "held")
        until(lambda: chores.annexe.inside == 1)
        send_stop_job_command(sync, parked.id)
        assert ended(parked, seconds=0.5) == "stopped"
        enqueue_many(stock, "chores.hold_in_annexe", 3)
        assert (chores.annexe.most, stock.count) == (1, 3)


def test_on_a_loop_of_its_own_a_job_keeps_its_slot(sync: Redis, stock: Queue) -> None:
    waits = stock.enqueue("chores.park_on_a_loop_of_its_own")
    following = stock.enqueue("chores.anote", "following")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        assert status_of(following) == "queued"
        chores.release()
        assert [ended(job) for job in (waits, following)] == ["finished", "finished"]


def test_of_nested_waits_the_outer_one_holds(sync: Redis, stock: Queue) -> None:
    stock.enqueue("chores.park_within")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == 1)
        assert ended(stock.enqueue("chores.anote", "second"), seconds=1) == "finished"
        chores.room.open()
        until(lambda: chores.annexe.inside == 1)
        third = stock.enqueue("chores.anote", "third")
        chores.release()
        assert ended(third) == "finished"


def test_of_waits_at_once_the_last_one_ends_the_parking(sync: Redis, stock: Queue) -> None:
    parked = stock.enqueue("chores.park_at_once")
    with at_work(make_worker(sync, given=slots(1))):
        until(lambda: chores.room.inside == chores.annexe.inside == 1)
        chores.room.open()
        assert ended(stock.enqueue("chores.anote", "second"), seconds=1) == "finished"
        chores.release()
        assert ended(parked) == "finished"


def test_parked_time_does_not_count_against_the_timeout(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.park_for", 1.3, 0.1, 0.1, job_timeout=1)
    with at_work(make_worker(sync)):
        assert ended(job) == "finished"


def test_the_clock_goes_on_after_parking(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.park_for", 0.1, 0.6, 30, job_timeout=1)
    with at_work(make_worker(sync)):
        assert ended(job, seconds=1.6) == "failed"
    assert "JobTimeoutException" in error_of(job)
    assert traces(sync, job.id) == [f"rq:job:{job.id}", f"rq:results:{job.id}"]
