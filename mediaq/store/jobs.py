"""The record of jobs: accepted, found, listed, taken by the reconciler, closed, purged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mediaq.errors import KeyTaken, NotYours
from mediaq.model import Job, NewJob, Progress
from mediaq.store.pool import Store

# Jobs that one statement deletes at most, to stay within its time.
PURGE_BATCH = 1000


async def accept(store: Store, new: NewJob) -> tuple[Job, bool]:
    """Puts a job on record, or finds the one that its idempotency key stands for.

    Returns:
        The job, and whether it is new.

    Raises:
        NotYours: The media item is another user's.
        KeyTaken: The idempotency key stands for another request.
    """
    async with store.transaction() as connection:
        await _claim_media_item(store, connection, new)
        if new.idempotency_key is not None:
            await store.queries.forget_old_key(
                connection, user_id=new.user_id, idempotency_key=new.idempotency_key
            )
        row = await store.queries.insert_job(
            connection,
            id=new.id,
            type=new.type,
            user_id=new.user_id,
            cost_center=new.cost_center,
            media_item_id=new.media_item_id,
            request=new.request,
            progress=Progress.of(new.operations).as_json(),
            max_attempts=new.max_attempts,
            idempotency_key=new.idempotency_key,
            digest=new.digest,
        )
        if row is None:
            return await _earlier(store, connection, new), False
        await store.queries.lock_media_items_of(connection, ids=[new.id])
        await store.queries.derive_media_statuses(connection, ids=[new.media_item_id])
        return Job.from_row(row), True


async def _claim_media_item(store: Store, connection: Any, new: NewJob) -> None:
    await store.queries.insert_media_item(connection, id=new.media_item_id, user_id=new.user_id)
    owner = await store.queries.media_item_owner(connection, id=new.media_item_id)
    if owner != new.user_id:
        raise NotYours(f"media item {new.media_item_id} belongs to another user")


async def _earlier(store: Store, connection: Any, new: NewJob) -> Job:
    row = await store.queries.job_by_key(connection, user_id=new.user_id, idempotency_key=new.idempotency_key)
    if row["digest"] != new.digest:
        raise KeyTaken("this Idempotency-Key was used for another request within the last 24 hours")
    return Job.from_row(row)


async def find(store: Store, job_id: str) -> Job | None:
    """Returns the job of that id, if there is one."""
    row = await store.queries.job_by_id(store.pool, id=job_id)
    return None if row is None else Job.from_row(row)


async def list_jobs(store: Store, *, user_id: str | None, status: str | None, most: int) -> list[Job]:
    """Returns the newest jobs, of one user and one status or of all."""
    rows = store.queries.list_jobs(store.pool, user_id=user_id, status=status, most=most)
    return [Job.from_row(row) async for row in rows]


async def take_open(store: Store, types: Sequence[str], batch: int) -> list[Job]:
    """Returns open jobs of these types that no living worker holds: those of dead workers first."""
    return [
        Job.from_row(row)
        async for row in store.queries.take_open_jobs(store.pool, types=list(types), batch=batch)
    ]


async def count_death(store: Store, job: Job) -> None:
    """Counts a worker's death before it started the job; one in the middle is counted by the next start."""
    await store.queries.count_death(store.pool, id=job.id, fence=job.fence)


async def close(store: Store, job: Job, reason: str) -> bool:
    """Fails an open job whose end is known from elsewhere; tells whether it was still open and unheld."""
    async with store.transaction() as connection:
        media_item = await store.queries.close_job(
            connection, id=job.id, fence=job.fence, failed_reason=reason
        )
        if media_item is not None:
            await store.queries.lock_media_items_of(connection, ids=[job.id])
            await store.queries.derive_media_statuses(connection, ids=[media_item])
        return media_item is not None


async def purge(store: Store, days: int) -> int:
    """Deletes jobs that ended more than `days` days ago; returns how many."""
    total = 0
    while gone := await store.queries.purge_jobs(store.pool, days=days, most=PURGE_BATCH):
        total += gone
    return total
