"""What Redis knows of a job that is on record elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from attrs import frozen

from mediaq.queue import keys
from mediaq.queue.view import read_error

Call = Callable[..., Awaitable[Any]]

# Seconds beyond now at which a living worker's execution expires at least. RQ lets it expire 60 s after the
# worker counts as dead; 15 of them are granted to a worker that is late to renew it.
ALIVE = 45


@frozen
class Seen:
    """What Redis knows of a job.

    Args:
        status: RQ's status, or None where there is no such job.
        listed: Whether it stands where its status says that it waits: in the list, or where a stock worker
            keeps it before the start; or among the scheduled ones.
        running: Whether a worker that runs it still shows signs of life.
        enqueued_at: When it was last pushed, where that is on record.
        error: The last line of its failure, where it failed.
    """

    status: str | None
    listed: bool = False
    running: bool = False
    enqueued_at: datetime | None = None
    error: str | None = None


async def look(call: Call, queue: str, job_id: str) -> Seen:
    """Looks a job up without changing anything.

    Args:
        call: Sends a command.
        queue: The queue's name.
        job_id: The job's id.
    """
    status, enqueued_at = await call("HMGET", keys.job(job_id), "status", "enqueued_at")
    if status is None:
        return Seen(None)
    # Only a status that says that the job is in the list is worth the search of a long one.
    found: dict[str, Any] = {}
    match status:
        case b"queued":
            lists = keys.queue(queue), keys.intermediate(queue)
            found["listed"] = any(
                place is not None
                for place in await asyncio.gather(*(call("LPOS", each, job_id) for each in lists))
            )
        case b"scheduled":
            found["listed"] = await call("ZSCORE", keys.scheduled(queue), job_id) is not None
        case b"started":
            living = await call("ZCOUNT", keys.executions(job_id), time.time() + ALIVE, "+inf")
            found["running"] = living > 0
        case b"failed" | b"stopped":
            found["error"] = _last_line(await call("XREVRANGE", keys.results(job_id), "+", "-", "COUNT", 1))
    when = datetime.fromisoformat(enqueued_at.decode()) if enqueued_at else None
    return Seen(status.decode(), enqueued_at=when, **found)


def _last_line(results: list[Any]) -> str | None:
    if not results:
        return None
    names_and_values = iter(results[0][1])
    result = dict(zip(names_and_values, names_and_values, strict=True))
    lines = (read_error(result.get(b"exc_string", b"")) or "").strip().splitlines()
    return lines[-1] if lines else None
