"""What becomes of a job that is open on record and that no living worker holds, by what Redis knows of it."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta

import asyncpg
from attrs import frozen
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.timeouts import JobTimeoutException

from mediaq.errors import DependencyAway
from mediaq.model import CANCELLED, JobStatus, OpenJob
from mediaq.queue.seen import Seen
from mediaq.queue.view import ENDED
from mediaq.settings import Settings


@frozen
class Leave:
    """Redis and Postgres agree, or someone is at work."""


@frozen
class Doubt:
    """The job should stand where it waits, and has not moved for long: if it does not, it is lost."""


@frozen
class Push:
    """The job is to be pushed again.

    Args:
        death: Whether that is for a worker that died, or failed, before it started the job.
        unused: Whether that is for a server that was away, which uses up neither an attempt nor a worker.
    """

    death: bool = False
    unused: bool = False


@frozen
class Close:
    """The job is to be closed as failed.

    Args:
        reason: Why, in words for its owner.
        trace: What RQ knows of the last error, for admins.
    """

    reason: str
    trace: str = ""


Verdict = Leave | Doubt | Push | Close


def decide(job: OpenJob, seen: Seen, settings: Settings, now: datetime) -> Verdict:
    """Decides what becomes of an open job that no living worker holds.

    Args:
        job: The job on record.
        seen: What Redis knows of it.
        settings: The poison limit, and how long a job may be in no list.
        now: The time.
    """
    status = _status(job, seen)
    if status in ("stopped", "canceled"):
        return Close("stopped" if status == "stopped" else CANCELLED)
    if job.due_at is not None and job.due_at > now:
        return Leave()
    match status:
        case "" | "finished":
            # A finished job finds its results on record.
            return Push()
        case "queued" | "scheduled":
            return Doubt() if not seen.listed and _is_old(seen, settings, now) else Leave()
        case "started":
            return Leave() if seen.running else _after_death(job, seen, "no sign of life", settings)
        case "failed" if _was_outage(job, seen.error or ""):
            return Push(unused=True)
        case "failed":
            # Ours close a job before RQ fails it: this worker died, was cut off, or could not start it.
            return _after_death(job, seen, seen.error or "no reason on record", settings)
        case _:
            return Leave()


def _status(job: OpenJob, seen: Seen) -> str:
    """Returns RQ's status, empty where it is that of an end from before the job was opened again."""
    return "" if seen.status in ENDED and seen.opening < job.opening else seen.status


def _is_old(seen: Seen, settings: Settings, now: datetime) -> bool:
    pushed_at = seen.pushed_at
    return pushed_at is None or now - pushed_at > timedelta(seconds=settings.upkeep.lost_after)


def _after_death(job: OpenJob, seen: Seen, error: str, settings: Settings) -> Push | Close:
    # Counted already where the process that did so did not live to push the job.
    counted = bool(seen.push) and job.died_of_push == seen.push
    workers = job.deaths if counted else job.deaths + 1
    if workers > settings.worker.deaths:
        return Close(f"gave up after {workers} workers died or could not start it", error)
    # The next start counts the death of a worker that had started it.
    return Push(death=job.status is not JobStatus.ACTIVE)


def _was_outage(job: OpenJob, error: str) -> bool:
    """Tells whether a task failed for want of a server; `error` is the line that names its error."""
    name, _, _ = error.partition(":")
    # An attempt has a timeout of its own before RQ's, and puts its end on record: where RQ's strikes and the
    # job is still active, that could not be done.
    return name in OUTAGES or (name in TIMEOUTS and job.status is JobStatus.ACTIVE)


def _name(kind: type[Exception]) -> str:
    """Returns an error's name as tracebacks have it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


TIMEOUTS = frozenset({_name(JobTimeoutException)})
# What a task ends with for want of a server, each by itself: that a file is missing is an `OSError` too, and
# a fault of that worker; asyncio raises plain ones where no address of a server answers.
OUTAGES = frozenset(
    map(
        _name,
        (
            DependencyAway,
            *(OSError, TimeoutError, socket.gaierror, BrokenPipeError),
            *(ConnectionError, ConnectionRefusedError, ConnectionResetError, ConnectionAbortedError),
            *(asyncpg.CannotConnectNowError, asyncpg.ClientCannotConnectError, asyncpg.InterfaceError),
            *(asyncpg.ConnectionDoesNotExistError, asyncpg.ConnectionFailureError),
            *(asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError),
            *(RedisConnectionError, RedisTimeoutError),
        ),
    )
)
