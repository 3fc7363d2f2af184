"""What users do to jobs on record: give them up, and have them run again."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from mediaq.model import Job, OpenJob
from mediaq.store.borrowed import borrow, transact
from mediaq.store.jobs import Wanted
from mediaq.store.media import derive_statuses
from mediaq.store.pool import Store
from mediaq.store.writer import Row


async def cancel(store: Store, job_id: str, seconds: float) -> tuple[Job, list[Row]] | None:
    """Closes a job as cancelled if it is open, within some seconds; repeating it is safe.

    Returns:
        The job as it is from now on, however it was closed, and its cost rows; None where there is none.

    Raises:
        CommitUnknown: Postgres went away at the commit: it may be closed or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing has changed.
    """
    async with transact(store.pool, seconds) as connection:
        row = await store.queries.cancel_job(connection, id=job_id)
        if row is not None:
            await derive_statuses(store, connection, [row["media_item_id"]])
        row = row or await store.queries.job_by_id(connection, id=job_id)
        if row is None:
            return None
        costs = [dict(cost) async for cost in store.queries.job_costs(connection, job_id=job_id)]
        return Job.from_row(row), costs


async def find_failed(store: Store, wanted: Wanted, *, most: int, seconds: float) -> list[str]:
    """Returns the ids of wanted jobs that failed and were not cancelled, the oldest first.

    Args:
        store: Postgres.
        wanted: Which; their status goes without saying.
        most: How many at most.
        seconds: For all of it.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    conditions = attrs.asdict(wanted, filter=lambda condition, _: condition.name != "status")
    async with borrow(store.pool, seconds) as connection:
        await store.queries.plan_by_values(connection)
        return [row["id"] async for row in store.queries.failed_jobs(connection, **conditions, most=most)]


async def reopen(store: Store, job_ids: Sequence[str], seconds: float) -> list[OpenJob]:
    """Opens failed jobs again with all their attempts, within some seconds; of two who ask, one does.

    What was obtained stays, and is not paid for again; what a provider refused is asked again.

    Returns:
        Those that are open by this.

    Raises:
        CommitUnknown: Postgres went away at the commit: all are open, or none.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing has changed.
    """
    async with transact(store.pool, seconds) as connection:
        await store.queries.lock_in_order(connection, ids=job_ids)
        rows = [dict(row) async for row in store.queries.reopen_jobs(connection, ids=job_ids)]
        await derive_statuses(store, connection, [row.pop("media_item_id") for row in rows])
        jobs = [OpenJob(**row) for row in rows]
        await store.queries.forget_refusals(connection, ids=[job.id for job in jobs])
        return jobs
