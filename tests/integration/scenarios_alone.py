"""What may become of one job: one scenario each."""

from typing import Any

import differences as meant
import errands
from differential_kit import Bench, Enqueue, Scenario
from rq import Callback, Repeat, Retry

CALLBACKS = {"on_success", "on_failure", "on_stopped"}


def one(function: Any, *args: Any, **options: Any) -> Enqueue:
    """Enqueues one job; callbacks may be given as they are."""
    for which in CALLBACKS & set(options):
        if not isinstance(options[which], Callback):
            options[which] = Callback(options[which])
    return lambda bench: bench.queue.enqueue(function, *args, job_id="a", **options)


def spoil(field: str, value: bytes | None) -> Enqueue:
    """Enqueues a job whose hash somebody else then writes to."""

    def enqueue(bench: Bench) -> None:
        job = bench.queue.enqueue(errands.add, 1, job_id="a")
        if value is None:
            bench.redis.hdel(job.key, field)
        else:
            bench.redis.hset(job.key, field, value)

    return enqueue


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
    Scenario("exception that cannot be written", one(errands.fail_unspeakably), allowed=meant.LEFT_RUNNING),
    Scenario("exit of Python", one(errands.exit_python)),
    Scenario(
        "timeout",
        one(errands.linger, 1.1, job_timeout=1, on_failure=errands.on_failure),
        allowed=meant.TIMEOUT,
    ),
    Scenario("timeout of a coroutine", one(errands.linger_later, 1.1, job_timeout=1), allowed=meant.TIMEOUT),
    Scenario("no timeout", one(errands.add, 1, job_timeout=-1)),
    Scenario("wrong arguments", one(errands.add, 1, 2, 3)),
    Scenario("job with a description and meta", one(errands.add, 1, description="sum", meta={"by": "x"})),
    Scenario("job that looks at itself", one(errands.look_at_myself, meta={"a": 1}, retry=Retry(max=2))),
    Scenario("job that saves its meta", one(errands.note_progress, 7, meta={"by": "x"})),
    Scenario("job that saves itself", one(errands.save_myself)),
    Scenario("JSON", one(errands.add, 1, right=2, meta={"by": "x"}), serializer="json"),
    Scenario("JSON result that cannot be serialized", one(errands.give_lock), serializer="json"),
]

REFUSALS = [
    Scenario("function that does not exist", one("errands.nowhere"), allowed=meant.MISSING),
    Scenario("module that does not exist", one("errand.add", 1), allowed=meant.REFUSED),
    Scenario(
        "function that does not exist, with retries and a callback",
        one("errands.nowhere", retry=Retry(max=2, interval=60), on_failure=errands.on_failure),
        allowed=meant.MISSING_FOR_NOW,
    ),
    Scenario(
        "argument of a class of one's own", one(errands.give, errands.Note("x")), allowed=meant.NOT_PLAIN
    ),
    Scenario("method of an object", one(errands.Note("x").shout), allowed=meant.NOT_PLAIN),
    Scenario("static method", one("errands.Note.whisper")),
    Scenario("data that cannot be read", spoil("data", b"no pickle"), allowed=meant.REFUSED),
    Scenario("data that is missing", spoil("data", None)),
    Scenario("meta that cannot be read", spoil("meta", b"no pickle")),
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
    Scenario(
        "failure_ttl, after a retry",
        one(errands.fail, failure_ttl=30, retry=Retry(max=1)),
        allowed=meant.ERRORS_OF_RETRIES,
    ),
    Scenario("failure_ttl 0, after a retry", one(errands.fail, failure_ttl=0, retry=Retry(max=1))),
    Scenario("ttl", one(errands.add, 1, ttl=100)),
    Scenario("ttl of a job that fails", one(errands.fail, ttl=100)),
]

RETRIES = [
    Scenario(
        "retry after an interval",
        one(errands.fail, retry=Retry(max=2, interval=[5, 10])),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "retry after one interval for all",
        one(errands.fail, retry=Retry(max=3, interval=7)),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "retries at once until it fails",
        one(errands.fail, retry=Retry(max=2)),
        allowed=meant.ERRORS_OF_RETRIES,
    ),
    Scenario(
        "retry that succeeds", one(errands.fail_at_first, retry=Retry(max=1)), allowed=meant.ERRORS_OF_RETRIES
    ),
    Scenario(
        "retry with failure_ttl -1",
        one(errands.fail, failure_ttl=-1, retry=Retry(max=1, interval=60)),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "retry after a timeout",
        one(errands.linger, 1.1, job_timeout=1, retry=Retry(max=1, interval=60)),
        allowed=meant.ERROR_OF_WAITING,
    ),
    Scenario(
        "retry without results",
        one(errands.fail_at_first, retry=Retry(max=1), result_ttl=0),
    ),
    Scenario("returned Retry", one(errands.ask_once), allowed=meant.RETURNED_RETRY),
    Scenario("returned Retry with an interval", one(errands.ask_once, 60), allowed=meant.RETURNED_RETRY),
    Scenario("returned Retry with intervals", one(errands.ask_once, [60, 90]), allowed=meant.RETURNED_RETRY),
    Scenario("returned Retry until it fails", one(errands.ask_again, 2), allowed=meant.RETURNED_RETRY),
    Scenario(
        "returned Retry with failure_ttl",
        one(errands.ask_again, 1, failure_ttl=30),
        allowed=meant.RETURNED_RETRY,
    ),
    Scenario(
        "returned Retry, its result kept for less than the next one's",
        one(errands.ask_once, failure_ttl=30, result_ttl=-1),
        allowed=meant.RETURNED_RETRY,
    ),
    Scenario(
        "returned Retry and retries",
        one(errands.ask_again, 1, retry=Retry(max=2)),
        allowed=meant.RETURNED_RETRY,
    ),
    Scenario(
        "returned Retry with a callback",
        one(errands.ask_once, on_success=errands.on_success),
        allowed=meant.RETURNED_RETRY,
    ),
]

CALLING_BACK = [
    Scenario("success callback", one(errands.add, 1, on_success=errands.on_success)),
    Scenario("success callback without a result", one(errands.give, None, on_success=errands.on_success)),
    Scenario("success callback of a coroutine", one(errands.add_later, 1, on_success=errands.on_success)),
    Scenario(
        "success callback without results",
        one(errands.add, 1, on_success=errands.on_success, result_ttl=0),
    ),
    Scenario("success callback of a failure", one(errands.fail, on_success=errands.on_success)),
    Scenario("failure callback", one(errands.fail, on_failure=errands.on_failure)),
    Scenario("failure callback of a coroutine", one(errands.fail_later, on_failure=errands.on_failure)),
    Scenario("failure callback of a success", one(errands.add, 1, on_failure=errands.on_failure)),
    Scenario(
        "failure callback of retries",
        one(errands.fail, on_failure=errands.on_failure, retry=Retry(max=2)),
        allowed=meant.ERRORS_OF_RETRIES,
    ),
    Scenario("success callback that raises", one(errands.add, 1, on_success=errands.break_on_success)),
    Scenario(
        "success callback that raises, of what is retried",
        one(errands.add, 1, on_success=errands.break_on_success, retry=Retry(max=1)),
        allowed=(*meant.ERRORS_OF_RETRIES, *meant.LAST_RESULT),
    ),
    Scenario(
        "both callbacks, the first of which raises",
        one(
            errands.add,
            1,
            on_success=errands.break_on_success,
            on_failure=errands.on_failure,
        ),
    ),
    Scenario("failure callback that raises", one(errands.fail, on_failure=errands.break_on_failure)),
    Scenario(
        "failure callback that raises, of retries",
        one(errands.fail, on_failure=errands.break_on_failure, retry=Retry(max=1)),
        allowed=meant.ERRORS_OF_RETRIES,
    ),
    Scenario(
        "success callback that takes too long",
        one(errands.add, 1, on_success=Callback(errands.linger_on_success, timeout=1)),
        allowed=meant.TIMEOUT,
    ),
    Scenario(
        "failure callback that takes too long",
        one(errands.fail, on_failure=Callback(errands.linger_on_failure, timeout=1)),
        allowed=meant.TIMEOUT_OF_CALLBACK,
    ),
    # How long a job took does not depend on its callback.
    Scenario(
        "success callback that takes a while",
        one(errands.add, 1, on_success=errands.dawdle_on_success),
    ),
    Scenario(
        "success callback that saves its job",
        one(errands.add, 1, on_success=errands.save_on_success),
    ),
    Scenario("success callback, a coroutine", one(errands.add, 1, on_success=errands.on_success_later)),
    Scenario(
        "success callback that does not exist",
        one(errands.add, 1, on_success="errands.nowhere"),
        allowed=meant.MISSING,
    ),
    Scenario(
        "failure callback that does not exist",
        one(errands.fail, on_failure="errands.nowhere"),
        allowed=meant.MISSING,
    ),
]


def repeat(interval: int | list[int], **options: Any) -> Enqueue:
    return one(errands.add, 1, repeat=Repeat(times=2, interval=interval), **options)


REPEATS = [
    Scenario("repeat at once", repeat(0), allowed=meant.LAST_RESULT),
    Scenario("repeat after an interval", repeat(60), allowed=meant.LAST_RESULT),
    Scenario("repeat after several intervals", repeat([60, 120]), allowed=meant.LAST_RESULT),
    Scenario("repeat at once, then later", repeat([0, 120]), allowed=meant.LAST_RESULT),
    Scenario("repeat without results", repeat(0, result_ttl=0)),
    Scenario("repeat later without results", repeat(60, result_ttl=0), allowed=meant.LAST_RESULT),
    Scenario("repeat of what is kept for ever", repeat(60, result_ttl=-1), allowed=meant.LAST_RESULT),
    Scenario("repeat with a time to live", repeat(60, ttl=100), allowed=meant.LAST_RESULT),
    Scenario(
        "repeat with a callback",
        repeat(0, on_success=errands.on_success),
        allowed=meant.LAST_RESULT,
    ),
    Scenario("repeat of a failure", one(errands.fail, repeat=Repeat(times=2, interval=0))),
    Scenario(
        "repeat of what is retried",
        one(errands.fail_at_first, repeat=Repeat(times=1), retry=Retry(max=1)),
        allowed=(*meant.ERRORS_OF_RETRIES, *meant.LAST_RESULT),
    ),
]

HANDLE = {"exception_handlers": [errands.handle]}
NO_DEFAULT = {"disable_default_exception_handler": True}

HANDLERS = [
    Scenario("handler", one(errands.fail), worker=HANDLE),
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
        worker=HANDLE,
        allowed=meant.ERRORS_OF_RETRIES,
    ),
    Scenario(
        "handler after a failure callback",
        one(errands.fail, on_failure=errands.break_on_failure),
        worker=HANDLE,
    ),
    Scenario(
        "handler that raises",
        one(errands.fail),
        worker={"exception_handlers": [errands.break_handling]},
        allowed=meant.LEFT_RUNNING,
    ),
    Scenario("no default handler", one(errands.fail), worker=NO_DEFAULT),
    Scenario("no default handler, but one of one's own", one(errands.fail), worker=HANDLE | NO_DEFAULT),
    Scenario(
        "no default handler, but retries",
        one(errands.fail, retry=Retry(max=1, interval=60)),
        worker=NO_DEFAULT,
        allowed=meant.ERROR_OF_WAITING,
    ),
]

SCENARIOS = [*ENDS, *REFUSALS, *LIVES, *RETRIES, *CALLING_BACK, *REPEATS, *HANDLERS]
