"""Open jobs that no living worker holds, as the reconciler reads and moves them; each move is fenced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from mediaq.model import OpenJob, Place
from mediaq.store.media import derive_statuses
from mediaq.store.pool import Store, storable

START = Place(datetime(1, 1, 1, tzinfo=UTC), "")


async def read(store: Store, types: Sequence[str], after: Place, most: int) -> list[OpenJob]:
    """Returns the next open jobs that no living worker holds, in the order in which they were accepted.

    Args:
        store: Postgres.
        types: The job types wanted.
        after: The place of the last one that was read; `START` before the first.
        most: How many at most.
    """
    rows = store.queries.open_jobs(
        store.pool, types=list(types), accepted_at=after.accepted_at, id=after.id, most=most
    )
    return [OpenJob(**row) async for row in rows]


async def untouched(store: Store, jobs: Iterable[OpenJob]) -> set[str]:
    """Returns the ids of those of the jobs that nobody has started, closed or taken since they were read."""
    read = [(job.id, job.fence) for job in jobs]
    rows = store.queries.untouched_jobs(
        store.pool, ids=[job_id for job_id, _ in read], fences=[fence for _, fence in read]
    )
    return {row["id"] async for row in rows}


async def count_death(store: Store, job: OpenJob, push: str) -> bool:
    """Counts a worker's death before it started the job; one in the middle is counted by the next start.

    Args:
        store: Postgres.
        job: The job as it was read.
        push: Which push it was that the worker took; its death counts once.

    Returns:
        Whether nobody has started the job since it was read.
    """
    counted = await store.queries.count_death(store.pool, id=job.id, fence=job.fence, push=push)
    return counted is not None


async def hand_back(store: Store, job: OpenJob) -> bool:
    """Hands back an attempt that was cut off, unused; tells whether the job was still as it was read."""
    return await _move(store, job, store.queries.hand_back_job)


async def close(store: Store, job: OpenJob, reason: str, trace: str = "") -> bool:
    """Fails a job whose end is known from elsewhere.

    Args:
        store: Postgres.
        job: The job as it was read.
        reason: Why, in words for its owner.
        trace: What is known of the last error, for admins.

    Returns:
        Whether the job was still as it was read.
    """
    traces = [storable(trace)] if trace else []
    return await _move(store, job, store.queries.close_job, failed_reason=storable(reason), traces=traces)


async def _move(store: Store, job: OpenJob, move: Any, **how: Any) -> bool:
    """Moves a job on, and with it what its media item shows, by a query that returns the item's id."""
    async with store.transaction() as connection:
        media_item = await move(connection, id=job.id, fence=job.fence, **how)
        if media_item is not None:
            await derive_statuses(store, connection, [media_item])
        return media_item is not None
