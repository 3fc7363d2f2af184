"""Jobs are accepted once: by their ids, which the service makes before, and by callers' idempotency keys."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import attrs
from loguru import logger

from mediaq.errors import CommitUnknown, KeyTaken, NotYours
from mediaq.model import Job, NewJob, Progress
from mediaq.store import budgets
from mediaq.store.admission import admit
from mediaq.store.borrowed import Connection, transact
from mediaq.store.media import derive_status
from mediaq.store.pool import AWAY, Store

# Seconds between two tries to learn what became of a commit.
PAUSE = 0.1


async def accept(store: Store, new: NewJob, seconds: float, open_jobs: int = 0) -> tuple[Job, bool]:
    """Puts a job on record, or finds the one that its idempotency key stands for.

    Where the connection breaks at the commit, the same is done again under the same id until it is known to
    stand: two transactions cannot insert one id, so the second waits for a first that is still at work, finds
    the job where that has committed, and inserts it where it has not.

    Args:
        store: Postgres.
        new: The job, of an id that no other has.
        seconds: For the acceptance, and as many again to learn what became of it.
        open_jobs: How many jobs of its user may be open at once, itself included; 0: any number.

    Returns:
        The job, and whether it is this one rather than an earlier one of its idempotency key.

    Raises:
        NotYours: The media item is another user's.
        KeyTaken: The idempotency key stands for another request.
        OverBudget: A budget does not leave what it may cost.
        TooManyOpen: Its user has as many open jobs as they may have.
        CommitUnknown: Postgres stayed away after the commit was sent: the job may be on record or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing is on record.
    """
    await budgets.count(store, budgets.caps(new), seconds)
    try:
        return await _accept(store, new, seconds, open_jobs)
    except CommitUnknown as error:
        logger.warning("job {} may be on record or not, which is asked again: {}", new.id, error)
        return await _make_sure(store, new, seconds, open_jobs)


async def _make_sure(store: Store, new: NewJob, seconds: float, open_jobs: int) -> tuple[Job, bool]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        try:
            return await _accept(store, new, left, open_jobs)
        except (CommitUnknown, asyncpg.PostgresError, *AWAY) as error:
            # That it cannot be accepted now does not say that it was not before.
            logger.debug("job {} may still be on record or not: {}", new.id, error)
        await asyncio.sleep(PAUSE)
    raise CommitUnknown(f"Postgres went away when job {new.id} was committed, and did not come back in time")


async def _accept(store: Store, new: NewJob, seconds: float, open_jobs: int) -> tuple[Job, bool]:
    async with transact(store.pool, seconds) as connection:
        await _claim_media_item(store, connection, new)
        if new.idempotency_key is not None:
            await store.queries.forget_old_key(
                connection, user_id=new.user_id, idempotency_key=new.idempotency_key
            )
        row = await _insert(store, connection, new)
        if row is None:
            return await _find(store, connection, new)
        await derive_status(store, connection, new.media_item_id)
        for refusal in (await admit(store, connection, [new], open_jobs)).values():
            raise refusal
        return Job.from_row(row), True


async def _claim_media_item(store: Store, connection: Connection, new: NewJob) -> None:
    await store.queries.insert_media_item(connection, id=new.media_item_id, user_id=new.user_id)
    owner = await store.queries.media_item_owner(connection, id=new.media_item_id)
    if owner != new.user_id:
        raise NotYours(f"media item {new.media_item_id} belongs to another user")


async def _insert(store: Store, connection: Connection, new: NewJob) -> Any:
    return await store.queries.insert_job(
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
        **attrs.asdict(new.terms),
    )


async def _find(store: Store, connection: Connection, new: NewJob) -> tuple[Job, bool]:
    row = await store.queries.accepted_job(
        connection, id=new.id, user_id=new.user_id, idempotency_key=new.idempotency_key
    )
    if row["digest"] != new.digest:
        raise KeyTaken("this Idempotency-Key was used for another request within the last 24 hours")
    return Job.from_row(row), row["id"] == new.id
