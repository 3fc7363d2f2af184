"""The record of jobs: found, listed, purged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
from attrs import frozen

from mediaq.model import Job, JobStatus, JobSummary, Place
from mediaq.store import deliveries
from mediaq.store.borrowed import Connection, borrow
from mediaq.store.deliveries import Standing
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


@frozen
class Record:
    """A job with what belongs to it.

    Args:
        job: The job.
        costs: Its cost rows.
        delivery: How it stands with telling its end; None: nobody is to be told.
    """

    job: Job
    costs: list[Row]
    delivery: Standing | None


async def find(store: Store, job_id: str) -> Job | None:
    """Returns the job of that id, if there is one."""
    row = await store.queries.job_by_id(store.pool, id=job_id)
    return None if row is None else Job.from_row(row)


async def find_record(store: Store, job_id: str, seconds: float) -> Record | None:
    """Returns the job of that id with what belongs to it, if there is one, within some seconds.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection:
        row = await store.queries.job_by_id(connection, id=job_id)
        return None if row is None else await read_record(store, connection, row)


async def read_record(store: Store, connection: Connection, row: Mapping[str, Any]) -> Record:
    """Returns the job of a row of `jobs` with what belongs to it."""
    job = Job.from_row(row)
    costs = [dict(cost) async for cost in store.queries.job_costs(connection, job_id=job.id)]
    delivery = None if job.webhook is None else await deliveries.last(store, connection, job.id)
    return Record(job, costs, delivery)


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
