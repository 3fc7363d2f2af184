"""What Redis knows of jobs that are on record elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
from attrs import frozen
from redis.exceptions import ResponseError

from mediaq.queue import keys
from mediaq.queue.view import read_error

# Sends a command at once, and gives what its answer will be.
Call = Callable[..., asyncio.Future[Any]]

# Seconds beyond now at which a living worker's execution expires at least. RQ lets it expire 60 s after the
# worker counts as dead; 15 of them are granted to a worker that is late to renew it.
ALIVE = 45
# Ids of a list that are read at a time: some 30 microseconds of Redis.
PIECE = 1000


@frozen
class Seen:
    """What Redis knows of a job.

    Args:
        status: RQ's status; empty where there is no such job.
        push: When it was last pushed, as RQ writes it, which tells one push from another; empty where that is
            not on record.
        listed: Whether it stands where it waits: for a scheduled one, among those. For a queued or absent one
            that takes a search of the list (`find_listed`), and is False without.
        running: Whether a worker that runs it still shows signs of life.
        error: The error that it failed with, in a line.
        opening: The job's opening that it is of (`QueuedJob`).
    """

    status: str = ""
    push: str = ""
    listed: bool = False
    running: bool = False
    error: str | None = None
    opening: int = 0

    @property
    def pushed_at(self) -> datetime | None:
        """When it was last pushed, where that is on record and a time."""
        with suppress(ValueError):
            return datetime.fromisoformat(self.push)
        return None


ABSENT = Seen()


async def look(call: Call, queue: str, job_ids: Sequence[str]) -> list[Seen]:
    """Looks jobs up in two round trips, without changing anything: of most it takes one small command.

    Args:
        call: Sends a command.
        queue: The queue's name.
        job_ids: The jobs' ids.

    Raises:
        redis.RedisError: Redis is away.
    """
    found = await _answers(
        [call("HMGET", keys.job(each), "status", "enqueued_at", "mediaq_opening") for each in job_ids]
    )
    seen = [_read(answer) for answer in found]
    further = [
        (index, call(*command))
        for index, job_id in enumerate(job_ids)
        if (command := _further(queue, job_id, seen[index].status)) is not None
    ]
    for (index, _), answer in zip(further, await _answers([each for _, each in further]), strict=True):
        seen[index] = _complete(seen[index], answer)
    return seen


async def find_listed(call: Call, queue: str, job_ids: Collection[str]) -> set[str]:
    """Returns those of the jobs that are in the queue's list, or where a stock worker keeps what it takes.

    Reads the lists in pieces, which holds Redis less than a search of them for each job. They are read from
    their ends: what is taken from their fronts meanwhile moves nothing past the reader.

    Args:
        call: Sends a command.
        queue: The queue's name.
        job_ids: The jobs' ids.

    Raises:
        redis.RedisError: Redis is away.
    """
    wanted = {job_id.encode() for job_id in job_ids}
    found: set[bytes] = set()
    for key in (keys.queue(queue), keys.intermediate(queue)):
        read = 0
        while len(found) < len(wanted) and (piece := await call("LRANGE", key, -read - PIECE, -read - 1)):
            found |= wanted.intersection(piece)
            read += PIECE
    return {job_id.decode() for job_id in found}


async def _answers(calls: Sequence[asyncio.Future[Any]]) -> list[Any]:
    """Waits for the answers; a refusal is an answer: a key of another type must not hide the other jobs."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ResponseError):
            raise answer
    return answers


def _read(answer: Any) -> Seen:
    if isinstance(answer, ResponseError):
        return ABSENT
    status, push, opening = ((part or b"").decode(errors="replace") for part in answer)
    return Seen(status, push, opening=int(opening) if opening.isdecimal() else 0)


def _further(queue: str, job_id: str, status: str) -> tuple[Any, ...] | None:
    match status:
        case "scheduled":
            return ("ZSCORE", keys.scheduled(queue), job_id)
        case "started":
            return ("ZCOUNT", keys.executions(job_id), time.time() + ALIVE, "+inf")
        case "failed":
            return ("XREVRANGE", keys.results(job_id), "+", "-", "COUNT", 1)
        case _:
            return None


def _complete(seen: Seen, answer: Any) -> Seen:
    if isinstance(answer, ResponseError):
        return seen
    match seen.status:
        case "scheduled":
            return attrs.evolve(seen, listed=answer is not None)
        case "started":
            return attrs.evolve(seen, running=answer > 0)
        case _:
            return attrs.evolve(seen, error=_error(answer))


def _error(results: list[Any]) -> str | None:
    if not results:
        return None
    names_and_values = iter(results[0][1])
    result = dict(zip(names_and_values, names_and_values, strict=True))
    return _line_of(read_error(result.get(b"exc_string", b"")) or "")


def _line_of(trace: str) -> str | None:
    """Returns the line of a traceback that names its error, whose message may go on over further lines."""
    lines = trace.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else lines[-1:]
    return next((line for line in after if not line.startswith(" ")), lines[-1].strip() if lines else None)
