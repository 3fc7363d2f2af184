"""What may become of a job, one scenario each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import errands
from differential_kit import FIRST, SECOND, UNSERVED, Bench, Scenario
from rq import Callback, Queue, Repeat, Retry
from rq.command import send_stop_job_command
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit


def one(function: Any, *args: Any, **options: Any) -> Any:
    """Enqueues one job."""
    return lambda bench: bench.queue.enqueue(function, *args, job_id="a", **options)


def chain(function: Any, **options: Any) -> Any:
    """Enqueues a job and one that waits for it."""

    def enqueue(bench: Bench) -> None:
        bench.queue.enqueue(function, 1, job_id="a")
        bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a", **options)

    return enqueue


def fetch(bench: Bench) -> Job:
    return Job.fetch("a", connection=bench.redis)


ENDS = [
    Scenario("success", one(errands.add, 1, right=2)),
    Scenario("success of a coroutine", one(errands.add_later, 1, right=2)),
    Scenario("None returned", one(errands.give, None)),
    Scenario("False returned", one(errands.give, False)),
    Scenario("nested value returned", one(errands.give, {"a": [1, (2.5, None)], "é": {b"\x00"}})),
    Scenario("huge result", one(errands.give_much, 5_000_000)),
    Scenario("huge argument", one(errands.give, "much " * 20_000)),
    Scenario("result that cannot be serialized", one(errands.give_lock)),
    Scenario("object of a class returned", one(errands.give_object)),
    Scenario("exception", one(errands.fail)),
    Scenario("exception of a coroutine", one(errands.fail_later)),
    Scenario("exception with a cause", one(errands.fail_from_another)),
    Scenario("exit of Python", one(errands.exit_python)),
    Scenario("timeout", one(errands.linger, 1.3, job_timeout=1)),
    Scenario("timeout of a coroutine", one(errands.linger_later, 1.3, job_timeout=1)),
    Scenario("function that does not exist", one("errands.nowhere")),
    Scenario("module that does not exist", one("errand.add", 1)),
    Scenario("wrong arguments", one(errands.add, 1, 2, 3)),
    Scenario("job with a description and meta", one(errands.add, 1, description="sum", meta={"by": "x"})),
    Scenario("job that looks at itself", one(errands.look_at_myself, meta={"a": 1}, retry=Retry(max=2))),
    Scenario("job that saves its meta", one(errands.note_progress, 7, meta={"by": "x"})),
    Scenario("job that saves itself", one(errands.save_myself)),
    Scenario("JSON", one(errands.add, 1, right=2, meta={"by": "x"}), serializer="json"),
    Scenario("JSON result that cannot be serialized", one(errands.give_lock), serializer="json"),
]

LIVES = [
    Scenario("result_ttl 0", one(errands.add, 1, result_ttl=0)),
    Scenario("result_ttl -1", one(errands.add, 1, result_ttl=-1)),
    Scenario("result_ttl 30", one(errands.add, 1, result_ttl=30)),
    Scenario("the worker's result_ttl", one(errands.add, 1), worker={"default_result_ttl": 40}),
    Scenario("the worker's result_ttl 0", one(errands.add, 1), worker={"default_result_ttl": 0}),
    Scenario("failure_ttl 0", one(errands.fail, failure_ttl=0)),
    Scenario("failure_ttl -1", one(errands.fail, failure_ttl=-1)),
    Scenario("failure_ttl 30", one(errands.fail, failure_ttl=30)),
    Scenario("failure after a retry with failure_ttl", one(errands.fail, failure_ttl=30, retry=Retry(max=1))),
    Scenario("ttl", one(errands.add, 1, ttl=100)),
    Scenario("ttl of a job that fails", one(errands.fail, ttl=100)),
    Scenario("ttl of a job that is retried", one(errands.fail, ttl=100, retry=Retry(max=1, interval=60))),
    Scenario("no timeout", one(errands.add, 1, job_timeout=-1)),
]

RETRIES = [
    Scenario("retry after an interval", one(errands.fail, retry=Retry(max=2, interval=[5, 10]))),
    Scenario("retry after one interval for all", one(errands.fail, retry=Retry(max=3, interval=7))),
    Scenario("retries at once until it fails", one(errands.fail, retry=Retry(max=2))),
    Scenario("retry that succeeds", one(errands.fail_at_first, retry=Retry(max=1))),
    Scenario("retry with failure_ttl -1", one(errands.fail, failure_ttl=-1, retry=Retry(max=1, interval=60))),
    Scenario(
        "retry after a timeout", one(errands.linger, 1.3, job_timeout=1, retry=Retry(max=1, interval=60))
    ),
    Scenario("returned Retry", one(errands.ask_once)),
    Scenario("returned Retry with an interval", one(errands.ask_once, 60)),
    Scenario("returned Retry until it fails", one(errands.ask_again, 2)),
    Scenario("returned Retry with failure_ttl", one(errands.ask_again, 1, failure_ttl=30)),
    Scenario("returned Retry at the front", one(errands.ask_again, 2, at_front=True)),
    Scenario("returned Retry and retries", one(errands.ask_again, 1, retry=Retry(max=2))),
]


def family(bench: Bench) -> None:
    """Two that wait for one, one that waits for two, one that waits for one of those."""
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
    """Jobs of an unserved queue that wait: one for its front, one for its back, one with a time to live."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    far = bench.queues[UNSERVED]
    far.enqueue(errands.add, 1, job_id="there")
    far.enqueue(errands.add, 2, job_id="front", depends_on=Dependency("a", enqueue_at_front=True))
    far.enqueue(errands.add, 2, job_id="back", depends_on="a", ttl=100, job_timeout=20)


def parent_elsewhere(bench: Bench) -> None:
    """A job that waits for one that runs, and one that nobody runs."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queues[UNSERVED].enqueue(errands.add, 1, job_id="b")
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=["a", "b"])


def canceled_child(bench: Bench) -> None:
    chain(errands.add)(bench)
    Job.fetch("b", connection=bench.redis).cancel()


def canceled_parent(bench: Bench) -> None:
    chain(errands.add)(bench)
    fetch(bench).cancel()
    bench.queue.enqueue(errands.add, 1, job_id="c")


def canceled_parent_frees(bench: Bench) -> None:
    chain(errands.add)(bench)
    fetch(bench).cancel(enqueue_dependents=True)


def deleted_parent(bench: Bench) -> None:
    """Waits for two, one of which is gone before the other is done."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queue.enqueue(errands.add, 1, job_id="b")
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=["a", "b"])
    fetch(bench).delete()


def limited_child(bench: Bench) -> None:
    """Jobs that wait for one, and then for a slot of their rate limit."""
    bench.queue.enqueue(errands.add, 1, job_id="a")
    for child in ("b", "c"):
        bench.queues[UNSERVED].enqueue(
            errands.add, 2, job_id=child, depends_on="a", rate_limit=RateLimit("limit", 1)
        )


DEPENDENTS = [
    Scenario("dependent", chain(errands.add)),
    Scenario("dependent of a coroutine", chain(errands.add_later)),
    Scenario("family of dependents", family),
    Scenario("dependents of one that fails", half_orphans),
    Scenario("dependent of one that is stored not", one(errands.add, 1, depends_on="nobody")),
    Scenario("dependents for front and back", front_and_back),
    Scenario("dependent with a parent left", parent_elsewhere),
    Scenario("dependent in another queue", lambda bench: other_queue(bench)),
    Scenario("dependent that was cancelled", canceled_child),
    Scenario("dependent of one that was cancelled", canceled_parent),
    Scenario("dependent freed by a cancellation", canceled_parent_frees),
    Scenario("dependent with a parent deleted", deleted_parent),
    Scenario("dependents with a rate limit", limited_child),
    Scenario("dependent of one without a result", lambda bench: discarded_parent(bench)),
    Scenario("dependent of one retried", lambda bench: retried_parent(bench)),
    Scenario("dependent of one that asks for a retry", lambda bench: asking_parent(bench)),
    Scenario("dependent of one that asks in vain", lambda bench: vain_parent(bench)),
    Scenario("dependent of one that repeats", lambda bench: repeating_parent(bench)),
]


def other_queue(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 1, job_id="a")
    bench.queues[SECOND].enqueue(errands.add, 2, job_id="b", depends_on="a")


def discarded_parent(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 1, job_id="a", result_ttl=0)
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")


def retried_parent(bench: Bench) -> None:
    bench.queue.enqueue(errands.fail, job_id="a", retry=Retry(max=1, interval=60))
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")


def asking_parent(bench: Bench) -> None:
    bench.queue.enqueue(errands.ask_once, job_id="a")
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")


def vain_parent(bench: Bench) -> None:
    bench.queue.enqueue(errands.ask_again, 1, job_id="a")
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")
    bench.queue.enqueue(errands.add, 2, job_id="c", depends_on=Dependency("a", allow_failure=True))


def repeating_parent(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 1, job_id="a", repeat=Repeat(times=1, interval=60))
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")


CALLBACKS = [
    Scenario("success callback", one(errands.add, 1, on_success=errands.on_success)),
    Scenario("success callback without a result", one(errands.give, None, on_success=errands.on_success)),
    Scenario("success callback of a failure", one(errands.fail, on_success=errands.on_success)),
    Scenario("failure callback", one(errands.fail, on_failure=errands.on_failure)),
    Scenario("failure callback of a coroutine", one(errands.fail_later, on_failure=errands.on_failure)),
    Scenario("failure callback of a success", one(errands.add, 1, on_failure=errands.on_failure)),
    Scenario(
        "failure callback of retries", one(errands.fail, on_failure=errands.on_failure, retry=Retry(max=2))
    ),
    Scenario("success callback that raises", one(errands.add, 1, on_success=errands.break_on_success)),
    Scenario(
        "both callbacks, the first of which raises",
        one(errands.add, 1, on_success=errands.break_on_success, on_failure=errands.on_failure),
    ),
    Scenario("failure callback that raises", one(errands.fail, on_failure=errands.break_on_failure)),
    Scenario(
        "failure callback that raises, of retries",
        one(errands.fail, on_failure=errands.break_on_failure, retry=Retry(max=1)),
    ),
    Scenario(
        "success callback that takes too long",
        one(errands.add, 1, on_success=Callback(errands.linger_on_success, timeout=1)),
    ),
    Scenario(
        "failure callback that takes too long",
        one(errands.fail, on_failure=Callback(errands.linger_on_failure, timeout=1)),
    ),
    Scenario(
        "success callback that saves the job", one(errands.add, 1, on_success=errands.change_on_success)
    ),
    Scenario(
        "success callback that is a coroutine", one(errands.add, 1, on_success=errands.on_success_later)
    ),
    Scenario("callbacks of a returned Retry", one(errands.ask_once, on_success=errands.on_success)),
    Scenario("callback that does not exist", one(errands.add, 1, on_success="errands.nowhere")),
    Scenario("failure callback that does not exist", one(errands.fail, on_failure="errands.nowhere")),
]


def repeat(interval: int | list[int], **options: Any) -> Any:
    return one(errands.add, 1, repeat=Repeat(times=2, interval=interval), **options)


REPEATS = [
    Scenario("repeat at once", repeat(0)),
    Scenario("repeat after an interval", repeat(60)),
    Scenario("repeat after several intervals", repeat([60, 120])),
    Scenario("repeat at once, then later", repeat([0, 120])),
    Scenario("repeat without results", repeat(0, result_ttl=0)),
    Scenario("repeat later without results", repeat(60, result_ttl=0)),
    Scenario("repeat of what is kept for ever", repeat(60, result_ttl=-1)),
    Scenario("repeat with a time to live", repeat(60, ttl=100)),
    Scenario("repeat with a callback", repeat(0, on_success=errands.on_success)),
    Scenario("repeat of a failure", one(errands.fail, repeat=Repeat(times=2, interval=0))),
    Scenario(
        "repeat of what is retried", one(errands.fail_at_first, repeat=Repeat(times=1), retry=Retry(max=1))
    ),
]


def group(**options: Any) -> Any:
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
    bench.queue.enqueue(errands.fail, job_id="b", rate_limit=limit, retry=Retry(max=1))
    bench.queue.enqueue(errands.fail, job_id="c", rate_limit=limit, retry=Retry(max=1, interval=60))
    bench.queue.enqueue(errands.tell, "d", job_id="d", rate_limit=limit)


def limited_retries(bench: Bench) -> None:
    limit = RateLimit("limit", 1)
    bench.queue.enqueue(errands.ask_once, job_id="a", rate_limit=limit)
    bench.queue.enqueue(errands.ask_once, 60, job_id="b", rate_limit=limit)
    bench.queue.enqueue(errands.add, 1, job_id="c", rate_limit=limit, repeat=Repeat(times=1, interval=60))
    bench.queue.enqueue(errands.add, 1, job_id="d", rate_limit=limit, result_ttl=0)


def several(bench: Bench) -> None:
    for name in (FIRST, SECOND):
        for number in range(3):
            bench.queues[name].enqueue(errands.add, number, job_id=f"{name}-{number}")
        bench.queues[name].enqueue(errands.fail, job_id=f"{name}-failing")


def in_order(bench: Bench) -> None:
    for number in range(5):
        bench.queue.enqueue(errands.tell, str(number), job_id=str(number))
    bench.queue.enqueue(errands.tell, "at the front", job_id="front", at_front=True)


def in_order_with_retries(bench: Bench) -> None:
    """Whose order tells where a retried job re-enters its queue."""
    bench.queue.enqueue(errands.ask_again, 1, job_id="back")
    bench.queue.enqueue(errands.ask_again, 1, at_front=True, job_id="front")
    for number in range(3):
        bench.queue.enqueue(errands.tell, str(number), job_id=str(number))


def scheduled(bench: Bench) -> None:
    soon = datetime.now(UTC)
    bench.queue.enqueue_at(soon - timedelta(seconds=5), errands.tell, "due", job_id="due")
    bench.queue.enqueue_at(soon + timedelta(seconds=60), errands.tell, "later", job_id="later")


def vanished(bench: Bench) -> None:
    """An id in a queue whose job is gone, and one whose job was cancelled and pushed back."""
    bench.redis.rpush(bench.queue.key, "gone")
    bench.queue.enqueue(errands.add, 1, job_id="a")


SETS = [
    Scenario("group", group()),
    Scenario("group without results", group(result_ttl=0)),
    Scenario("rate limit", limited),
    Scenario("rate limit of failures", limited_failures),
    Scenario("rate limit of retries", limited_retries),
    Scenario("several jobs on two queues", several),
    Scenario("jobs in order", in_order, served=(FIRST,), concurrency=1),
    Scenario("retries in order", in_order_with_retries, served=(FIRST,), concurrency=1),
    Scenario("scheduled jobs without a scheduler", scheduled),
    Scenario("scheduled jobs", scheduled, work={"with_scheduler": True}),
    Scenario("most jobs", in_order, served=(FIRST,), concurrency=1, work={"max_jobs": 3}),
    Scenario("nothing to do", lambda bench: None),
    Scenario("ids that lead nowhere", vanished),
]

HANDLERS = [
    Scenario("handler", one(errands.fail), worker={"exception_handlers": [errands.handle]}),
    Scenario(
        "handlers, all called",
        one(errands.fail),
        worker={"exception_handlers": [errands.handle, errands.handle_and_end]},
    ),
    Scenario(
        "handlers, the first ends it",
        one(errands.fail),
        worker={"exception_handlers": [errands.handle_and_end, errands.handle]},
    ),
    Scenario(
        "handler of retries",
        one(errands.fail, retry=Retry(max=1)),
        worker={"exception_handlers": [errands.handle]},
    ),
    Scenario(
        "handler after a failure callback",
        one(errands.fail, on_failure=errands.break_on_failure),
        worker={"exception_handlers": [errands.handle]},
    ),
    Scenario("no default handler", one(errands.fail), worker={"disable_default_exception_handler": True}),
    Scenario(
        "no default handler, and one of one's own",
        one(errands.fail),
        worker={"disable_default_exception_handler": True, "exception_handlers": [errands.handle]},
    ),
    Scenario(
        "no default handler, and retries",
        one(errands.fail, retry=Retry(max=1)),
        worker={"disable_default_exception_handler": True},
    ),
]


def stop(bench: Bench) -> None:
    send_stop_job_command(bench.redis, "a")


def delete(bench: Bench) -> None:
    fetch(bench).delete()
    bench.give_word()


def cancel(bench: Bench) -> None:
    fetch(bench).cancel()
    bench.give_word()


def add_child(bench: Bench) -> None:
    bench.queue.enqueue(errands.add, 2, job_id="b", depends_on="a")
    bench.give_word()


INTERRUPTIONS = [
    Scenario("stopped", one(errands.wait_for_word), stop, forks=True, served=(FIRST,)),
    Scenario(
        "stopped, with its callback",
        one(errands.wait_for_word, on_stopped=errands.on_stopped, on_failure=errands.on_failure),
        stop,
        forks=True,
        served=(FIRST,),
    ),
    Scenario(
        "stopped, with a callback that raises and retries",
        one(errands.wait_for_word, on_stopped=errands.break_on_stopped, retry=Retry(max=2)),
        stop,
        forks=True,
        served=(FIRST,),
    ),
    Scenario("cancelled while running", one(errands.wait_for_word), cancel),
    Scenario("cancelled by itself", one(errands.cancel_myself)),
    Scenario("deleted while running", one(errands.wait_for_word), delete),
    Scenario("deleted by itself", one(errands.delete_myself)),
    Scenario("dependent added while running", one(errands.wait_for_word), add_child),
]

SCENARIOS = [
    *ENDS,
    *LIVES,
    *RETRIES,
    *DEPENDENTS,
    *CALLBACKS,
    *REPEATS,
    *SETS,
    *HANDLERS,
    *INTERRUPTIONS,
]
