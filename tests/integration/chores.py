"""What the workers of the tests run. What it keeps is for workers in the test's own process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

from redis import Redis
from rooms import Room
from rq import Retry, get_current_job
from rq.job import Job

from mediaq.queue.kept import kept
from mediaq.queue.parking import waiting

# What jobs noted, in that order.
noted: list[Any] = []
# Those who came back from where they waited, in that order.
arrived: list[int] = []
# What was opened and closed for jobs to share, and what the next opening raises.
opened: list[str] = []
closed: list[str] = []
failing: list[BaseException] = []
colour: ContextVar[str] = ContextVar("colour", default="none")


room = Room()
# A second one, for what comes after the first.
annexe = Room()


def forget() -> None:
    """Begins anew: a test's notes and rooms are its own."""
    for notes in (noted, arrived, opened, closed, failing):
        notes.clear()
    for place in (room, annexe):
        place.close()


def release() -> None:
    """Lets all that are held go on."""
    room.open()
    annexe.open()


def current() -> Job:
    job = get_current_job()
    assert job is not None
    return job


# Plain and coroutine alike.


def note(what: Any) -> Any:
    noted.append(what)
    return what


async def anote(what: Any) -> Any:
    noted.append(what)
    return what


async def echo(what: Any) -> Any:
    return what


def echo_thread(what: Any) -> Any:
    return what


def indirect(what: Any) -> Any:
    """A plain function that returns a coroutine."""
    return anote(what)


def delete_itself() -> None:
    current().delete()


async def hold(what: Any = None) -> Any:
    await room.hold()
    return note(what)


def hold_thread(what: Any = None) -> Any:
    room.hold_thread()
    return note(what)


async def rest(what: Any = None, seconds: float = 0.01) -> Any:
    with room.counted():
        await asyncio.sleep(seconds)
    return what


def rest_thread(what: Any = None, seconds: float = 0.01) -> Any:
    with room.counted():
        time.sleep(seconds)
    return what


async def tell(what: Any) -> int:
    """Notes in Redis who ran it, for workers in other processes."""
    job = current()
    await asyncio.sleep(0.003)
    return int(job.connection.rpush("chores:ran", f"{what} {job.worker_name}"))


# Failures.

RAISED: dict[str, Any] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "ExceptionGroup": lambda: ExceptionGroup("many", [LookupError("first"), TypeError("second")]),
    "Unspeakable": lambda: Unspeakable(),
    "Surrogate": lambda: ValueError("half of a character: \ud800"),
    "Secretive": lambda: Secretive(),
    "TimeoutError": TimeoutError,
}


# What stands in the error of a job that raised one of them, where it is not the name.
WORDS = {"Surrogate": "half of a character"}


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Secretive(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


def fail(what: str = "ValueError") -> None:
    error = RAISED[what]() if what in RAISED else ValueError(what)
    raise error


async def afail(what: str = "ValueError") -> None:
    fail(what)


async def fail_in_task(what: str) -> None:
    """Raises in a task of its own, as asyncio.TaskGroup does."""
    await asyncio.create_task(afail(what))


def huge(megabytes: int) -> str:
    return "x" * (megabytes * 2**20)


def unwritable() -> Any:
    return threading.Lock()


def halves() -> str:
    return "\ud800 \udfff"


def again(most: int) -> Retry:
    return Retry(max=most)


async def mistreat_job(_: Any) -> None:
    """Leaves what is no number where numbers are wanted."""
    job: Any = current()
    job.timeout = job.result_ttl = job.failure_ttl = job.ttl = job.retries_left = "many"
    job.retry_intervals = {"never": "ever"}


async def mistreat_and_fail(_: Any) -> None:
    await mistreat_job(_)
    raise LookupError


# What can be cut short, and what cannot.


async def clean_up(word: str) -> None:
    try:
        await hold()
    finally:
        await asyncio.sleep(0)
        noted.append(word)


async def turn_into_error() -> None:
    try:
        await hold()
    except asyncio.CancelledError:
        raise ConnectionError("the connection was closed") from None


async def swallow_once() -> str:
    with suppress(asyncio.CancelledError):
        await room.hold()
    noted.append("swallowed")
    await annexe.hold()
    return "late"


async def swallow_all() -> str:
    while not room.is_open:
        with suppress(asyncio.CancelledError):
            await room.hold()
    noted.append("through")
    return "late"


async def fail_after_hold(what: Any) -> None:
    await hold(what)
    raise LookupError(what)


# Parking.


async def hold_in_annexe(what: Any = None) -> Any:
    await annexe.hold()
    return note(what)


async def park(what: Any = None) -> Any:
    """Waits, parked, until the room is opened."""
    async with waiting():
        await room.hold()
    await annexe.hold()
    return note(what)


async def park_for_number(number: int) -> None:
    """Waits, parked, until the room is opened; notes the number when it may go on, and when it has a slot."""
    async with waiting():
        await room.hold()
        arrived.append(number)
    noted.append(number)


async def park_for(parked: float, before: float = 0, after: float = 0) -> str:
    await asyncio.sleep(before)
    async with waiting():
        await asyncio.sleep(parked)
    await asyncio.sleep(after)
    return "done"


def park_on_a_loop_of_its_own() -> None:
    async def wait() -> None:
        async with waiting():
            await room.hold()

    asyncio.run(wait())


async def park_in_turn(times: int) -> int:
    for _ in range(times):
        async with waiting():
            await asyncio.sleep(0)
    return times


async def park_within() -> None:
    async with waiting():
        async with waiting():
            await asyncio.sleep(0.01)
        await room.hold()
    await annexe.hold()


async def park_at_once() -> None:
    """Two waits at once, of which one ends early."""

    async def wait(place: Room) -> None:
        async with waiting():
            await place.hold()

    await asyncio.gather(wait(room), wait(annexe))


# What jobs share.


@asynccontextmanager
async def open_shop(name: str) -> AsyncIterator[list[str]]:
    opened.append(name)
    await asyncio.sleep(0.01)
    if failing:
        raise failing.pop()
    try:
        yield [name]
        await asyncio.sleep(0)
        closed.append(name)
    except BaseException:
        closed.append(f"{name}, cut short")
        raise


async def shop(name: str = "corner") -> int:
    async with kept(name, lambda: open_shop(name)) as found:
        return id(found)


def shop_on_a_loop_of_its_own() -> int:
    return asyncio.run(shop())


async def shop_and_stay() -> None:
    async with kept("corner", lambda: open_shop("corner")):
        try:
            await room.hold()
        finally:
            await asyncio.sleep(0.01)
            noted.append("closed already" if closed else "still open")


@asynccontextmanager
async def open_slowly() -> AsyncIterator[str]:
    await room.hold()
    if failing:
        raise failing.pop()
    yield "open"


async def shop_slowly() -> str:
    async with kept("slow", open_slowly) as found:
        return found


# What a job knows of itself.


def my_id() -> str:
    return current().id


async def my_ids() -> list[str]:
    """As a coroutine, a task of its own, a thread and several tasks at once know it."""

    async def ask() -> str:
        await asyncio.sleep(0.001)
        return my_id()

    return [
        my_id(),
        await asyncio.create_task(ask()),
        await asyncio.to_thread(my_id),
        *await asyncio.gather(ask(), ask()),
    ]


async def progress(steps: int) -> dict[str, Any]:
    job = current()
    for step in range(steps):
        job.meta["step"] = step + 1
        job.save_meta()
    await room.hold()
    return {"id": job.id, "args": job.args, "timeout": job.timeout, "status": job.get_status().value}


def look(_: Any) -> Any:
    """Looks at all that its job knows."""
    job = current()
    return note(
        [job.meta, job.args, str(job.created_at), job.description, job.timeout, job.get_status().value]
    )


def progress_thread(steps: int) -> int:
    job = current()
    job.meta["step"] = steps
    job.save_meta()
    return steps


async def paint(word: str) -> list[str]:
    """What it finds, what it sets, what a thread sees of that."""
    found = colour.get()
    colour.set(word)
    await asyncio.sleep(0.01)
    return [found, colour.get(), await asyncio.to_thread(colour.get)]


def paint_thread(word: str) -> list[str]:
    found = colour.get()
    colour.set(word)
    return [found, colour.get()]


# Callbacks.


def on_success(job: Job, connection: Redis, result: Any) -> None:
    noted.append(("success", job.id, bool(connection.ping()), result))


def on_failure(job: Job, connection: Redis, kind: Any, error: Any, trace: Any) -> None:
    noted.append(("failure", job.id, kind.__name__, str(error), trace is not None))


def on_stopped(job: Job, connection: Redis) -> None:
    noted.append(("stopped", job.id))


def bad_callback(*_: Any) -> None:
    raise RuntimeError("the callback failed")


def exit_callback(*_: Any) -> None:
    raise SystemExit(3)


def slow_callback(*_: Any) -> None:
    annexe.hold_thread()


async def coroutine_callback(*_: Any) -> None:
    noted.append("never")


def handle(job: Job, kind: Any, error: Any, trace: Any) -> None:
    """An exception handler."""
    job.connection.rpush("chores:handled", f"{job.id} {kind.__name__} {error}")
