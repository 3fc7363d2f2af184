"""A lane a queue: as many jobs at once as it has slots, no more and no fewer."""

import chores
import pytest
from redis import Redis
from rq import Queue
from worker_kit import at_work, burst, enqueue_many, ended, make_worker, slots, until, work

pytest_plugins = ["worker_fixtures"]


@pytest.mark.parametrize("function", ["chores.hold", "chores.hold_thread"])
def test_all_slots_of_a_lane_are_used_and_no_more(sync: Redis, queue: Queue, function: str) -> None:
    enqueue_many(queue, function, 12)
    with at_work(make_worker(sync, given=slots(5))):
        until(lambda: chores.inside() == 5)
        assert (queue.count, queue.started_job_registry.count) == (7, 5)
        chores.release()
        until(lambda: len(chores.noted) == 12)
    assert chores.most() == 5


def test_one_slot_runs_jobs_in_the_order_of_the_queue(sync: Redis, queue: Queue) -> None:
    enqueue_many(queue, "chores.anote", 300)
    burst(sync, given=slots(1))
    assert chores.noted == list(range(300))


def test_max_jobs(sync: Redis, queue: Queue) -> None:
    other = Queue("other", connection=sync)
    for _ in range(10):
        enqueue_many(queue, "chores.rest", 10)
        enqueue_many(other, "chores.rest", 10)
        work(make_worker(sync, "chores", "other"), max_jobs=7)
        assert queue.count + other.count == 13
        queue.empty(), other.empty()
