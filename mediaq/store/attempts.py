"""Attempts at jobs on record: started, kept, moved on, ended or handed back. Every write is fenced."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from mediaq.errors import FenceLost
from mediaq.model import Job, JobStatus, Progress
from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store, storable
from mediaq.store.writer import Act, Row, marking


@frozen
class Ending:
    """How an attempt ended.

    Args:
        status: COMPLETED, FAILED, or DELAYED where another attempt follows.
        result: What was obtained, by result key; also of a failed job.
        reason: Why it failed, in words for the user.
        trace: The traceback of a failure.
        delay: Seconds until the next attempt.
        metadata: What a completed job adds to its media item.
    """

    status: JobStatus
    result: Mapping[str, Any]
    reason: str | None = None
    trace: str | None = None
    delay: float | None = None
    metadata: Mapping[str, Any] | None = None


async def start(store: Store, job_id: str, owner: str, lease: float) -> Job | None:
    """Starts an attempt: from now on `owner` alone works on the job, for `lease` seconds at a time.

    Returns:
        The job with its new fence, or None where it is closed or unknown.
    """
    # Each start has a name of its own, so that one that is written twice takes one fence.
    row = {"id": job_id, "owner": f"{owner}:{uuid.uuid4().hex}", "lease": lease}
    started = await store.writer.write(START, job_id, row)
    return None if started is None else Job.from_row(started)


async def renew(store: Store, job: Job, lease: float) -> None:
    """Keeps the job for another `lease` seconds.

    Raises:
        FenceLost: Another worker has started it since, or it is closed.
    """
    await _write(store, RENEW, job, lease=lease)


async def write_progress(store: Store, job: Job, progress: Progress) -> None:
    """Puts a running job's progress on record.

    Raises:
        FenceLost: Another worker has started it since, or it is closed.
    """
    await _write(store, PROGRESS, job, progress=progress.as_json())


async def end(store: Store, job: Job, ending: Ending, progress: Progress | None = None) -> None:
    """Ends an attempt, and with it what its media item shows.

    Args:
        store: The store.
        job: The job, with the fence of this start.
        ending: How it ended.
        progress: Where its operations stand in the end; None: where they were last said to stand.

    Raises:
        FenceLost: Another worker has started the job since, or it is closed.
    """
    row = {
        "id": job.id,
        "fence": job.fence,
        "media_item_id": job.media_item_id,
        "status": ending.status,
        "progress": None if progress is None else progress.as_json(),
        "result": ending.result,
        "reason": None if ending.reason is None else storable(ending.reason),
        "trace": None if ending.trace is None else storable(ending.trace),
        "delay": ending.delay,
        "metadata": ending.metadata,
    }
    # Two jobs of one item add to its metadata one after the other.
    if await store.writer.write(END, job.id, row, key=job.media_item_id) is None:
        raise FenceLost(job.id)


async def release(store: Store, job: Job) -> None:
    """Hands an interrupted attempt back unused; does nothing where the job is another's by now."""
    row = {"id": job.id, "fence": job.fence, "media_item_id": job.media_item_id}
    await store.writer.write(RELEASE, job.id, row)


async def _write(store: Store, act: Act, job: Job, **row: Any) -> None:
    if await store.writer.write(act, job.id, {"id": job.id, "fence": job.fence, **row}) is None:
        raise FenceLost(job.id)


async def _start(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    started = {row["n"]: row async for row in queries.start_jobs(connection, rows=rows)}
    await queries.derive_media_statuses(connection, ids=[row["media_item_id"] for row in started.values()])
    return started


async def _end(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    # Results may be large, and what a completed job adds to its media item is as large again.
    endings = [{name: value for name, value in row.items() if name != "metadata"} for row in rows]
    new = {row["n"] async for row in queries.end_attempts(connection, rows=endings)}
    changed = [row for row in rows if row["n"] in new]
    await queries.derive_media_statuses(connection, ids=[row["media_item_id"] for row in changed])
    if adding := [_only(row, "media_item_id", "metadata") for row in changed if row["metadata"] is not None]:
        await queries.add_media_results(connection, rows=adding)
    asked = [_only(row, "n", "id", "fence", "status") for row in rows]
    return {row["n"]: True async for row in queries.ended_attempts(connection, rows=asked)}


async def _release(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    released = {row["n"]: True async for row in queries.release_jobs(connection, rows=rows)}
    items = [row["media_item_id"] for row in rows if row["n"] in released]
    await queries.derive_media_statuses(connection, ids=items)
    return released


def _only(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


START = Act(_start, derives=True)
RENEW = marking("renew_leases")
PROGRESS = marking("write_progress")
END = Act(_end, derives=True)
RELEASE = Act(_release, derives=True)
