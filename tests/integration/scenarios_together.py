"""What may become of jobs that wait for each other, or share a queue, a group or a limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import differences as meant
import errands
from differential_kit import FIRST, SECOND, UNSERVED, Bench, Enqueue, Scenario
from rq import Queue, Repeat, Retry
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit
from rq.suspension import suspend
from scenarios_alone import one


def pair(function: Any, *args: Any, **options: Any) -> Enqueue:
    """Enqueues a job and one that waits for it."""
    enqueue_first = one(function, *args, **options)

    def enqueue(bench: Bench) -> None:
        enqueue_first(bench)
        bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")

    return enqueue


def fetch(bench: Bench, job_id: str = "a") -> Job:
    return Job.fetch(job_id, connection=bench.redis)


def family(bench: Bench) -> None:
    """Two that wait for one, one that waits for two, one that waits for that one."""
    for parent in ("a", "b"):
        bench.queue.enqueue(errands.add, 1, job_id=parent)
    bench.queue.enqueue(errands.add, 2, job_id="a1", depends_on="a")
    bench.queue.enqueue(errands.add, 2, job_id="a2", depends_on="a")
    bench.queue.enqueue(errands.add, 3, job_id="ab", depends_on=["a", "b"])
    bench.queue.enqueue(errands.add, 4, job_id="grandchild", depends_on="ab")


def half_orphans(bench: Bench) -> None:
    """Jobs that wait for one that fails and one that does not."""
    bench.queue.enqueue(errands.fail, job_id="a")
    bench.queue.enqueue(errands.add, 1, job_id="b")
    both: list[Job | str] = ["a", "b"]
    bench.queue.enqueue(errands.add, 2, job_id="strict", depends_on=both)
    bench.queue.enqueue(errands.add, 2, job_id="lax", depends_on=Dependency(both, allow_failure=True))


def front_and_back(bench: Bench) -> None:
    """Jobs of an unserved queue that wait: for its front, for its back."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    far = bench.queues[UNSERVED]
    far.enqueue(errands.add, 1, job_id="there")
    far.enqueue(errands.add, 2, job_id="front", depends_on=Dependency("a", enqueue_at_front=True))
    bench.queue.enqueue(errands.add, 1, job_id="b")
    far.enqueue(errands.add, 2, job_id="back", depends_on="b", ttl=100, job_timeout=20)


def parent_elsewhere(bench: Bench) -> None:
    """A job that waits for one that runs, and one that nobody runs."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queues[UNSERVED].enqueue(errands.add, 1, job_id="b")
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=["a", "b"])


def other_queue(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queues[SECOND].enqueue(errands.add, 2, job_id="b", depends_on="a")


def canceled_child(bench: Bench) -> None:
    pair(errands.add, 1)(bench)
    fetch(bench, "b").cancel()


def canceled_parent(bench: Bench) -> None:
    pair(errands.add, 1)(bench)
    fetch(bench).cancel()


def freeing_parent(bench: Bench) -> None:
    pair(errands.add, 1)(bench)
    fetch(bench).cancel(enqueue_dependents=True)


def deleted_parent(bench: Bench) -> None:
    """Waits for two, one of which is gone before the other is done."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queue.enqueue(errands.add, 1, job_id="b")
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=["a", "b"])
    fetch(bench).delete()


def limited_children(bench: Bench) -> None:
    """Jobs that wait for one, and then for a slot of their rate limit."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    limit = RateLimit("limit", 1)
    far = bench.queues[UNSERVED]
    far.enqueue(errands.add, 2, job_id="b", depends_on="a", rate_limit=limit)
    bench.queue.enqueue(errands.add, 1, job_id="after")
    far.enqueue(errands.add, 2, job_id="c", depends_on="after", rate_limit=limit)


def vain_parent(bench: Bench) -> None:
    """Jobs that wait for one that asks for more retries than it gets."""
    pair(errands.ask_again, 1)(bench)
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=Dependency("a", allow_failure=True))


DEPENDENTS = [
    Scenario("dependent", pair(errands.add, 1)),
    Scenario("dependent of a coroutine", pair(errands.add_later, 1)),
    # Which of two parents ends last decides whose set of dependents is left.
    Scenario("family of dependents", family, concurrency=1),
    Scenario("dependents of one that fails", half_orphans, concurrency=1),
    Scenario("dependent of one that was never stored", one(errands.add, 1, depends_on="nobody")),
    Scenario("dependents for front and back", front_and_back, concurrency=1),
    Scenario("dependent with a parent left", parent_elsewhere),
    Scenario("dependent in another queue", other_queue),
    Scenario("dependent that was cancelled", canceled_child),
    Scenario("dependent of one that was cancelled", canceled_parent),
    Scenario("dependent freed by a cancellation", freeing_parent),
    Scenario("dependent with a parent deleted", deleted_parent),
    Scenario("dependents with a rate limit", limited_children, concurrency=1),
    Scenario("dependent of one without a result", pair(errands.add, 1, result_ttl=0)),
    Scenario("dependent of one that is forgotten", pair(errands.fail, failure_ttl=0)),
    Scenario(
        "dependent of one retried",
        pair(errands.fail, retry=Retry(max=1, interval=60)),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "dependent of one retried, with a time to live",
        pair(errands.fail, ttl=100, retry=Retry(max=1, interval=60)),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "dependent of one that asks for a later retry, with a time to live",
        pair(errands.ask_once, 60, ttl=100),
        allowed=meant.RETURNED_RETRY,
    ),
    Scenario("dependent of one with a time to live that fails", pair(errands.fail, ttl=100, failure_ttl=-1)),
    Scenario("dependent of one that asks for a retry", pair(errands.ask_once), allowed=meant.RETURNED_RETRY),
    Scenario("dependents of one that asks in vain", vain_parent, allowed=meant.RETURNED_RETRY),
    Scenario(
        "dependent of one that repeats",
        pair(errands.add, 1, repeat=Repeat(times=1, interval=60)),
        allowed=meant.LAST_RESULT,
    ),
    Scenario("dependent of one that is refused", pair("errand.nowhere"), allowed=meant.REFUSED),
]


def group(**options: Any) -> Enqueue:
    def enqueue(bench: Bench) -> None:
        data = [Queue.prepare_data(errands.add, args=(1,), job_id=each, **options) for each in ("a", "b")]
        data.append(Queue.prepare_data(errands.fail, job_id="c"))
        Group.create(bench.redis, "group").enqueue_many(bench.queue, data)

    return enqueue


def limited(bench: Bench) -> None:
    for job in ("a", "b", "c"):
        bench.queue.enqueue(errands.tell, job, job_id=job, rate_limit=RateLimit("limit", 1))


def limited_failures(bench: Bench) -> None:
    limit = RateLimit("limit", 1)
    bench.queue.enqueue(errands.fail, job_id="a", rate_limit=limit)
    bench.queue.enqueue(errands.fail, job_id="b", rate_limit=limit, retry=Retry(max=1, interval=60))
    bench.queue.enqueue(errands.tell, "c", job_id="c", rate_limit=limit)


def limited_again(bench: Bench) -> None:
    limit = RateLimit("limit", 1)
    bench.queue.enqueue(errands.fail_at_first, job_id="a", rate_limit=limit, retry=Retry(max=1))
    bench.queue.enqueue(errands.ask_once, job_id="b", rate_limit=limit)
    bench.queue.enqueue(errands.ask_once, 60, job_id="c", rate_limit=limit)
    bench.queue.enqueue(errands.add, 1, job_id="d", rate_limit=limit, repeat=Repeat(times=1, interval=60))
    bench.queue.enqueue(errands.add, 1, job_id="e", rate_limit=limit, result_ttl=0)


def several(bench: Bench) -> None:
    for name in (FIRST, SECOND):
        for number in range(3):
            bench.queues[name].enqueue(errands.add, number, job_id=f"{name}-{number}")
        bench.queues[name].enqueue(errands.fail, job_id=f"{name}-failing")


def in_order(bench: Bench) -> None:
    for number in range(5):
        bench.queue.enqueue(errands.tell, str(number), job_id=str(number))
    bench.queue.enqueue(errands.tell, "at the front", job_id="front", at_front=True)


def again_in_order(bench: Bench) -> None:
    """Jobs whose order tells where one that runs again enters its queue."""
    bench.queue.enqueue(errands.ask_again, 1, job_id="back")
    bench.queue.enqueue(errands.ask_again_at_front, 1, job_id="front")
    bench.queue.enqueue(errands.fail_telling, job_id="failing", retry=Retry(max=1))
    bench.queue.enqueue(errands.fail_telling, job_id="first", retry=Retry(max=1, enqueue_at_front=True))
    bench.queue.enqueue(errands.tell, "repeats", job_id="repeats", repeat=Repeat(times=1))
    for number in range(2):
        bench.queue.enqueue(errands.tell, str(number), job_id=str(number))


def scheduled(bench: Bench) -> None:
    now = datetime.now(UTC)
    bench.queue.enqueue_at(now - timedelta(seconds=5), errands.tell, "due", job_id="due")
    bench.queue.enqueue_at(now + timedelta(seconds=60), errands.tell, "later", job_id="later")


def vanished(bench: Bench) -> None:
    """An id in a queue whose job is gone."""
    bench.redis.rpush(bench.queue.key, "gone")
    bench.queue.enqueue(errands.add, 1, job_id="a")


def canceled_and_pushed(bench: Bench) -> None:
    """An id in a queue whose job was cancelled."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    fetch(bench).cancel()
    bench.redis.rpush(bench.queue.key, "a")


def suspended(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 1, job_id="a")
    suspend(bench.redis)


def requeued(bench: Bench) -> None:
    """A job that fails, and one that puts it back."""
    bench.queue.enqueue(errands.fail, job_id="a")
    bench.queue.enqueue(errands.requeue, "a", job_id="b")


SETS = [
    Scenario("group", group()),
    Scenario("group without results", group(result_ttl=0)),
    Scenario("rate limit", limited),
    Scenario("rate limit of failures", limited_failures, allowed=meant.ERROR_OF_WAITING),
    Scenario(
        "rate limit of what runs again",
        limited_again,
        allowed=(*meant.ERRORS_OF_RETRIES, *meant.RETURNED_RETRY),
    ),
    Scenario("several jobs on two queues", several),
    Scenario("jobs in order", in_order, served=(FIRST,), concurrency=1),
    Scenario(
        "jobs that run again, in order",
        again_in_order,
        served=(FIRST,),
        concurrency=1,
        allowed=(*meant.ERRORS_OF_RETRIES, *meant.RETURNED_RETRY),
    ),
    Scenario("scheduled jobs without a scheduler", scheduled),
    Scenario("scheduled jobs", scheduled, work={"with_scheduler": True}),
    Scenario("most jobs", in_order, served=(FIRST,), concurrency=1, work={"max_jobs": 3}),
    Scenario("nothing to do", lambda _: None),
    Scenario("id that leads nowhere", vanished),
    Scenario("id of a job that was cancelled", canceled_and_pushed, allowed=meant.CANCELED_BEFORE),
    Scenario("suspended", suspended, allowed=meant.SUSPENDED),
    Scenario("failure put back", requeued, served=(FIRST,), concurrency=1),
]


SCENARIOS = [*DEPENDENTS, *SETS]
