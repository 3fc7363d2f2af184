"""What users do to jobs on record: give them up, and have them run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from attrs import frozen

from mediaq.model import Job, OpenJob
from mediaq.store import budgets
from mediaq.store.admission import Refusal, over_budget, too_many
from mediaq.store.borrowed import Connection, borrow, transact
from mediaq.store.jobs import Record, Wanted, read_record
from mediaq.store.media import derive_statuses
from mediaq.store.pool import Store


@frozen
class Failed:
    """A job that failed.

    Args:
        job: The job.
        done: Its operations whose results are on record.
    """

    job: Job
    done: tuple[str, ...]


async def cancel(store: Store, job_id: str, seconds: float) -> Record | None:
    """Closes a job as cancelled if it is open, within some seconds; repeating it is safe.

    Returns:
        The job as it is from now on, however it was closed; None where there is none.

    Raises:
        CommitUnknown: Postgres went away at the commit: it may be closed or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing has changed.
    """
    async with transact(store.pool, seconds) as connection:
        row = await store.queries.cancel_job(connection, id=job_id)
        if row is not None:
            await derive_statuses(store, connection, [row["media_item_id"]])
        row = row or await store.queries.job_by_id(connection, id=job_id)
        return None if row is None else await read_record(store, connection, row)


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


async def read_failed(store: Store, job_ids: Sequence[str], seconds: float) -> list[Failed]:
    """Returns those of some jobs that failed, in the order given.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.failed_jobs_with_done(connection, ids=job_ids)
        found = {row["id"]: Failed(Job.from_row(row), tuple(row["done"])) async for row in rows}
    return [found[job_id] for job_id in job_ids if job_id in found]


async def reopen(
    store: Store, asked: Mapping[str, Job], seconds: float, open_jobs: int = 0
) -> tuple[list[OpenJob], Mapping[str, Refusal]]:
    """Opens failed jobs again with all their attempts, where there is room; of two who ask, one does.

    What was obtained stays, and is not paid for again; what a provider refused is asked again.

    Args:
        store: Postgres.
        asked: The jobs by id, each with the terms that it is to have from now on.
        seconds: For each try; the jobs for which there is no room are left out of the next.
        open_jobs: How many jobs of a user may be open at once, these included; 0: any number.

    Returns:
        Those that are open by this, and why others are not for which there is no room, by id.

    Raises:
        CommitUnknown: Postgres went away at the commit: all are open, or none.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing has changed.
    """
    await budgets.count(store, {budget for job in asked.values() for budget in budgets.caps(job)}, seconds)
    refused: dict[str, Refusal] = {}
    while True:
        left = {job_id: job for job_id, job in asked.items() if job_id not in refused}
        try:
            return await _reopen(store, left, seconds, open_jobs), refused
        except _NoRoom as none:
            refused |= none.refusals


@frozen
class _NoRoom(Exception):
    """Takes a transaction back that has opened more jobs than there is room for."""

    refusals: Mapping[str, Refusal]


async def _reopen(store: Store, asked: Mapping[str, Job], seconds: float, open_jobs: int) -> list[OpenJob]:
    ids = list(asked)
    async with transact(store.pool, seconds) as connection:
        await store.queries.lock_in_order(connection, ids=ids)
        rows = [dict(row) async for row in store.queries.reopen_jobs(connection, ids=ids)]
        await derive_statuses(store, connection, [row.pop("media_item_id") for row in rows])
        opened = [OpenJob(**row) for row in rows]
        await store.queries.forget_refusals(connection, ids=[job.id for job in opened])
        jobs = [asked[job.id] for job in opened]
        terms = [{"id": job.id, **attrs.asdict(job.terms)} for job in jobs]
        await store.queries.set_terms(connection, rows=terms)
        await store.queries.count_earlier_costs(connection, ids=[job.id for job in opened])
        # Last of all: others wait for what is locked here.
        await _check_room(store, connection, jobs, open_jobs)
        return opened


async def _check_room(store: Store, connection: Connection, jobs: Sequence[Job], open_jobs: int) -> None:
    if refusals := await too_many(store, connection, jobs, open_jobs):
        raise _NoRoom(refusals)
    if refusals := await over_budget(store, connection, jobs):
        raise _NoRoom(refusals)
