"""Ends of jobs that are to be told by webhook: on record from the moment they are the jobs' ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from mediaq.model import JobStatus
from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store, storable

# Characters that are kept of why something was not delivered.
LONGEST_ERROR = 500


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@frozen
class Delivery:
    """The end of a job, to be told.

    Args:
        id: Its own, and the same however often it is sent.
        job_id: The job.
        type: Its type.
        media_item_id: Its media item.
        url: Where it is sent to.
        status: How the job ended.
        result: What was obtained, by result key; also of a failed job.
        result_left_out: Whether there are results that are too large to be sent.
        failed_reason: Why the job failed.
        attempts_made: How many attempts the job took.
        cost: What it was known to have cost then, in US dollars.
        finished_at: When it ended.
        attempts: How often it was sent or tried to be, this time included.
    """

    id: str
    job_id: str
    type: str
    media_item_id: str
    url: str
    status: JobStatus = field(converter=JobStatus)
    result: Mapping[str, Any] | None
    result_left_out: bool
    failed_reason: str | None
    attempts_made: int
    cost: Decimal
    finished_at: datetime
    attempts: int


@frozen
class Standing:
    """How the delivery of a job's last end stands.

    Args:
        state: Where it stands.
        attempts: How often it was sent or tried to be.
        error: Why it was not delivered when that last happened.
    """

    state: State = field(default=State.PENDING, converter=State)
    attempts: int = 0
    error: str | None = None


async def due(store: Store, each: int) -> dict[str, int]:
    """Returns who is to be told something now, the longest waiting first, and of how many ends.

    Args:
        store: Postgres.
        each: So many at most are counted for each.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away; so from all of these.
    """
    rows = store.queries.due_receivers(store.pool, each=each)
    return {row["receiver"]: row["waiting"] async for row in rows}


async def claim(store: Store, receiver: str, lease: float) -> Delivery | None:
    """Returns a due delivery to a receiver, if there is one; it is due again after `lease` seconds."""
    row = await store.queries.claim_delivery(store.pool, receiver=receiver, lease=lease)
    return None if row is None else Delivery(**row)


async def end(
    store: Store, delivery: Delivery, state: State, error: str | None = None, wait: float = 0.0
) -> None:
    """Puts on record what has become of a delivery; nothing where it is gone with its job.

    Args:
        store: Postgres.
        delivery: The delivery.
        state: Where it stands.
        error: Why it was not delivered.
        wait: Seconds until it is due again, where it is pending.
    """
    await store.queries.end_delivery(
        store.pool,
        id=delivery.id,
        attempts=delivery.attempts,
        state=state,
        error=None if error is None else storable(error)[:LONGEST_ERROR],
        wait=wait,
    )


async def last(store: Store, connection: Connection, job_id: str) -> Standing:
    """Returns how the delivery of a job's last end stands; of one that has not ended, as one not tried."""
    row = await store.queries.last_delivery(connection, job_id=job_id)
    return Standing() if row is None else Standing(**row)
