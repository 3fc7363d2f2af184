"""The record of jobs: found, listed, purged."""

from __future__ import annotations

from mediaq.model import Job
from mediaq.store.borrowed import borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row

# Jobs that one statement deletes at most, to stay within its time.
PURGE_BATCH = 1000


async def find(store: Store, job_id: str) -> Job | None:
    """Returns the job of that id, if there is one."""
    row = await store.queries.job_by_id(store.pool, id=job_id)
    return None if row is None else Job.from_row(row)


async def find_with_costs(store: Store, job_id: str, seconds: float) -> tuple[Job, list[Row]] | None:
    """Returns the job of that id and its cost rows, if there is one, within some seconds.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection:
        row = await store.queries.job_by_id(connection, id=job_id)
        if row is None:
            return None
        costs = [dict(cost) async for cost in store.queries.job_costs(connection, job_id=job_id)]
        return Job.from_row(row), costs


async def list_jobs(store: Store, *, user_id: str | None, status: str | None, most: int) -> list[Job]:
    """Returns the newest jobs, of one user and one status or of all."""
    rows = store.queries.list_jobs(store.pool, user_id=user_id, status=status, most=most)
    return [Job.from_row(row) async for row in rows]


async def purge(store: Store, days: int) -> int:
    """Deletes jobs that ended more than `days` days ago; returns how many."""
    total = 0
    while gone := await store.queries.purge_jobs(store.pool, days=days, most=PURGE_BATCH):
        total += gone
    return total
