"""The record of jobs: found, listed, purged."""

from __future__ import annotations

from datetime import datetime

import attrs
from attrs import frozen

from mediaq.model import Job, JobStatus, JobSummary, Place
from mediaq.store.borrowed import borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row

# Jobs that one statement deletes at most, to stay within its time.
PURGE_BATCH = 1000


@frozen
class Wanted:
    """Which jobs are meant; what is None does not matter.

    Args:
        user_id: Whose.
        type: Of which job type.
        status: In which state.
        media_item_id: About which media item.
        cost_center: On whose account.
        since: Accepted then or later.
        until: Accepted before.
    """

    user_id: str | None = None
    type: str | None = None
    status: JobStatus | None = None
    media_item_id: str | None = None
    cost_center: str | None = None
    since: datetime | None = None
    until: datetime | None = None


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


async def list_jobs(
    store: Store, wanted: Wanted, *, most: int, seconds: float, before: Place | None = None
) -> list[JobSummary]:
    """Returns the newest jobs of those wanted, within some seconds.

    Args:
        store: Postgres.
        wanted: Which.
        most: How many at most.
        seconds: For all of it.
        before: The place of the last one that is known; None: there is none.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection:
        await store.queries.plan_by_values(connection)
        rows = store.queries.list_jobs(
            connection,
            **attrs.asdict(wanted),
            accepted_at=None if before is None else before.accepted_at,
            id=None if before is None else before.id,
            most=most,
        )
        return [JobSummary(**row) async for row in rows]


async def purge(store: Store, days: int) -> int:
    """Deletes jobs that ended more than `days` days ago; returns how many."""
    total = 0
    while gone := await store.queries.purge_jobs(store.pool, days=days, most=PURGE_BATCH):
        total += gone
    return total
