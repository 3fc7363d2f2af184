"""The record of jobs: found, started, moved on, ended. Every write of a running job is fenced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from mediaq.errors import FenceLost
from mediaq.model import Job, JobStatus, Progress
from mediaq.store.borrowed import borrow
from mediaq.store.media import derive_status
from mediaq.store.operations import Row
from mediaq.store.pool import Store, storable

# Jobs that one statement deletes at most, to stay within its time.
PURGE_BATCH = 1000


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


async def find(store: Store, job_id: str) -> Job | None:
    """Returns the job of that id, if there is one."""
    row = await store.queries.job_by_id(store.pool, id=job_id)
    return None if row is None else Job.from_row(row)


async def find_with_costs(store: Store, job_id: str, seconds: float) -> tuple[Job, list[Row]] | None:
    """Returns the job of that id and its cost rows, if there is one, within some seconds.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store, seconds) as connection:
        row = await store.queries.job_by_id(connection, id=job_id)
        if row is None:
            return None
        costs = [dict(cost) async for cost in store.queries.job_costs(connection, job_id=job_id)]
        return Job.from_row(row), costs


async def list_jobs(store: Store, *, user_id: str | None, status: str | None, most: int) -> list[Job]:
    """Returns the newest jobs, of one user and one status or of all."""
    rows = store.queries.list_jobs(store.pool, user_id=user_id, status=status, most=most)
    return [Job.from_row(row) async for row in rows]


async def start(store: Store, job_id: str, owner: str, lease: float) -> Job | None:
    """Starts an attempt: from now on `owner` alone works on the job, for `lease` seconds at a time.

    Returns:
        The job with its new fence, or None where it is closed or unknown.
    """
    async with store.transaction() as connection:
        row = await store.queries.start_job(connection, id=job_id, owner=owner, lease=lease)
        if row is None:
            return None
        await derive_status(store, connection, row["media_item_id"])
        return Job.from_row(row)


async def renew(store: Store, job: Job, lease: float) -> None:
    """Keeps the job for another `lease` seconds.

    Raises:
        FenceLost: Another worker has started it since, or it is closed.
    """
    if await store.queries.renew_lease(store.pool, id=job.id, fence=job.fence, lease=lease) is None:
        raise FenceLost(f"job {job.id} is another worker's now")


async def write_progress(store: Store, job: Job, progress: Progress) -> None:
    """Puts a running job's progress on record.

    Raises:
        FenceLost: Another worker has started it since, or it is closed.
    """
    written = await store.queries.write_progress(
        store.pool, id=job.id, fence=job.fence, progress=progress.as_json()
    )
    if written is None:
        raise FenceLost(f"job {job.id} is another worker's now")


async def end(store: Store, job: Job, ending: Ending) -> None:
    """Ends an attempt, and with it what its media item shows.

    Raises:
        FenceLost: Another worker has started the job since, or it is closed.
    """
    async with store.transaction() as connection:
        media_item = await store.queries.end_attempt(
            connection,
            id=job.id,
            fence=job.fence,
            status=ending.status,
            result=ending.result,
            failed_reason=None if ending.reason is None else storable(ending.reason),
            trace=None if ending.trace is None else storable(ending.trace),
            delay=ending.delay,
        )
        if media_item is None:
            raise FenceLost(f"job {job.id} is another worker's now")
        await derive_status(store, connection, media_item)
        if ending.metadata is not None:
            await store.queries.add_media_results(connection, id=media_item, results=ending.metadata)


async def release(store: Store, job: Job) -> None:
    """Hands an interrupted attempt back unused; does nothing where the job is another's by now."""
    async with store.transaction() as connection:
        media_item = await store.queries.release_job(connection, id=job.id, fence=job.fence)
        if media_item is not None:
            await derive_status(store, connection, media_item)


async def purge(store: Store, days: int) -> int:
    """Deletes jobs that ended more than `days` days ago; returns how many."""
    total = 0
    while gone := await store.queries.purge_jobs(store.pool, days=days, most=PURGE_BATCH):
        total += gone
    return total
