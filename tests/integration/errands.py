"""Jobs, callbacks and exception handlers that RQ's workers and mediaq's run alike, and what they tell of it.

What they see goes into the list `journal`. A job that waits for a word says in `begun` that it does.
"""

import asyncio
import threading
import time
from typing import Any

from redis import Redis
from rq import Retry, get_current_job
from rq.job import Job

JOURNAL = "journal"
BEGUN, WORD = "test:begun", "test:word"
# Seconds after which nobody waits any longer for something that takes milliseconds.
PATIENCE = 10


def me() -> Job:
    job = get_current_job()
    assert job is not None
    return job


def write(redis: Redis, *words: object) -> None:
    redis.rpush(JOURNAL, " ".join(map(str, words)))


def add(left: int, right: int = 0) -> int:
    return left + right


async def add_later(left: int, right: int = 0) -> int:
    await asyncio.sleep(0)
    return left + right


def give(value: Any) -> Any:
    return value


def give_much(size: int) -> str:
    return "much " * (size // 5)


def give_lock() -> Any:
    """What no serializer can write."""
    return threading.Lock()


def give_object() -> Any:
    return Note("an object of a class of the producer's own")


class Note:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Note({self.text!r})"

    def shout(self) -> str:
        return self.text.upper()

    @staticmethod
    def whisper() -> str:
        return "pst"


def fail() -> None:
    raise LookupError("no such thing")


async def fail_later() -> None:
    await asyncio.sleep(0)
    raise LookupError("no such thing, later")


def fail_from_another() -> None:
    try:
        fail()
    except LookupError as error:
        raise ValueError("because of it") from error


def fail_unspeakably() -> None:
    raise LookupError("half a character: \ud800")


def exit_python() -> None:
    raise SystemExit(3)


def fail_at_first() -> str:
    """Fails on the first attempt, succeeds on the second."""
    if me().retries_left:
        raise LookupError("not yet")
    return "at last"


def fail_telling() -> None:
    tell(f"{me().id} fails")
    fail()


def ask_again(most: int) -> Retry:
    tell(f"{me().id} asks")
    return Retry(max=most)


def ask_again_at_front(most: int) -> Retry:
    tell(f"{me().id} asks")
    return Retry(max=most, enqueue_at_front=True)


def ask_once(interval: int | list[int] = 0) -> Retry | str:
    """Asks for one retry, then succeeds."""
    return "at last" if me().number_of_retries else Retry(max=1, interval=interval)


def linger(seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.01)


async def linger_later(seconds: float) -> None:
    for _ in range(round(seconds / 0.01)):
        await asyncio.sleep(0.01)


def tell(word: str) -> str:
    """Writes its word down; the order of the words is the order of the jobs."""
    write(me().connection, word)
    return word


def look_at_myself() -> None:
    job = me()
    dates = ["created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"]
    write(job.connection, "job", job.id, job.origin, job.get_status(refresh=False), job.get_status())
    write(job.connection, "worker", job.worker_name, "executions", len(job.get_executions()))
    write(job.connection, "dates", *(f"{date}={getattr(job, date) is not None}" for date in dates))
    write(job.connection, "call", job.func_name, job.args, job.kwargs, job.description, job.timeout)
    write(job.connection, "left", job.retries_left, job.repeats_left, job.meta, job.result_ttl, job.ttl)


def note_progress(done: int) -> int:
    job = me()
    job.meta["progress"] = done
    job.save_meta()
    return done


def save_myself() -> str:
    """Changes the job's own settings while it runs."""
    job = me()
    job.result_ttl = 77
    job.meta["saved"] = True
    job.save()
    return "saved"


def requeue(job_id: str) -> None:
    Job.fetch(job_id, connection=me().connection).requeue()


def cancel_myself() -> str:
    me().cancel()
    return "done all the same"


def delete_myself() -> str:
    me().delete()
    return "done all the same"


def wait_for_word() -> str:
    redis = me().connection
    redis.rpush(BEGUN, me().id)
    redis.blpop([WORD], timeout=PATIENCE)
    return "heard"


async def wait_later() -> None:
    """Waits for what never comes."""
    me().connection.rpush(BEGUN, me().id)
    await asyncio.sleep(PATIENCE)


# Callbacks.


def on_success(job: Job, redis: Redis, result: Any) -> None:
    status = job.get_status(refresh=False)
    write(redis, "on_success", job.id, result, status, job.ended_at is not None, job.worker_name)


def on_failure(job: Job, redis: Redis, kind: Any, error: Any, trace: Any) -> None:
    status = job.get_status(refresh=False)
    write(redis, "on_failure", job.id, kind.__name__, error, trace is not None, status, job.retries_left)


def on_stopped(job: Job, redis: Redis) -> None:
    write(redis, "on_stopped", job.id, job.get_status(refresh=False))


def break_on_success(job: Job, redis: Redis, result: Any) -> None:
    raise ValueError("the success callback broke")


def break_on_failure(job: Job, redis: Redis, *error: Any) -> None:
    raise ValueError("the failure callback broke")


def break_on_stopped(job: Job, redis: Redis) -> None:
    raise ValueError("the stopped callback broke")


def dawdle_on_success(job: Job, redis: Redis, result: Any) -> None:
    linger(0.7)


def linger_on_success(job: Job, redis: Redis, result: Any) -> None:
    linger(1.2)


def linger_on_failure(job: Job, redis: Redis, *error: Any) -> None:
    linger(1.2)


def save_on_success(job: Job, redis: Redis, result: Any) -> None:
    """Saves the job from within its callback."""
    job.meta["seen"] = result
    job.save_meta()


async def on_success_later(job: Job, redis: Redis, result: Any) -> None:
    """RQ calls no coroutines back."""


# Exception handlers.


def handle(job: Job, kind: Any, error: Any, trace: Any) -> None:
    write(job.connection, "handle", job.id, kind.__name__, error, job.get_status(refresh=False))


def handle_and_end(job: Job, kind: Any, error: Any, trace: Any) -> bool:
    write(job.connection, "handle_and_end", job.id, kind.__name__, error)
    return False


def break_handling(job: Job, kind: Any, error: Any, trace: Any) -> None:
    raise ValueError("the handler broke")
