"""How jobs ended, for those who wait for it: read on record, whoever closed them and whoever told of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from attrs import field, frozen

from mediaq.model import JobStatus
from mediaq.store.borrowed import borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row


@frozen
class Closing:
    """How a job ended.

    Args:
        result: What was obtained, by result key; also of a failed job.
    """

    id: str
    type: str
    user_id: str
    status: JobStatus = field(converter=JobStatus)
    attempts: int
    result: Mapping[str, Any] | None
    failed_reason: str | None
    finished_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Closing:
        """Builds it from a row, whatever further columns that has."""
        return cls(**{name: row[name] for name in attrs.fields_dict(cls)})


@frozen
class Closed:
    """A job that is closed, or no longer on record.

    Args:
        user_id: Whose it is, where it was found as one of a user's.
        finished_at: When it was closed; None: it is gone.
    """

    id: str
    user_id: str | None
    finished_at: datetime | None
    gone: bool


async def owners(store: Store, job_ids: Sequence[str], seconds: float) -> dict[str, tuple[str, str]]:
    """Returns type and user of jobs, by their ids, within some seconds.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time; so from all of these.
    """
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.job_owners(connection, ids=list(job_ids))
        return {row["id"]: (row["type"], row["user_id"]) async for row in rows}


async def standings(store: Store, job_ids: Sequence[str], seconds: float) -> dict[str, Row]:
    """Returns how jobs stand, by their ids: what a `Closing` has, of open jobs too, and their progress."""
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.job_standings(connection, ids=list(job_ids))
        return {row["id"]: dict(row) async for row in rows}


async def find(
    store: Store, job_ids: Collection[str], user_ids: Collection[str] | None, within: float, seconds: float
) -> list[Closed]:
    """Finds out which jobs have ended, in one query.

    Args:
        store: Postgres.
        job_ids: Jobs that are waited for.
        user_ids: Users of whose jobs each is waited for; None: all users'.
        within: Seconds within which theirs were closed.
        seconds: For the query.
    """
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.find_closed(
            connection,
            ids=list(job_ids),
            seconds=within,
            everybody=user_ids is None,
            users=list(user_ids or ()),
        )
        return [Closed(**row) async for row in rows]


async def read(store: Store, job_ids: Sequence[str], seconds: float) -> list[Closing]:
    """Returns how jobs ended; those that are open, or gone, are left out."""
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.closed_jobs(connection, ids=list(job_ids))
        return [Closing.from_row(row) async for row in rows]


async def since(
    store: Store, user_id: str | None, after: tuple[datetime, str], most: int, seconds: float
) -> list[Closing]:
    """Returns the next jobs that were closed, in the order of that.

    Args:
        store: Postgres.
        user_id: Whose; None: everybody's.
        after: When the last one before them was closed, and its id.
        most: How many at most.
        seconds: For the query.
    """
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.closed_since(
            connection, user_id=user_id, finished_at=after[0], id=after[1], most=most
        )
        return [Closing.from_row(row) async for row in rows]


async def open_progress(store: Store, user_id: str | None, most: int, seconds: float) -> list[Row]:
    """Returns id, type, user and progress of open jobs, the longest accepted first."""
    async with borrow(store.pool, seconds) as connection:
        rows = store.queries.open_progress(connection, user_id=user_id, most=most)
        return [dict(row) async for row in rows]
