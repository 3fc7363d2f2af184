"""Media items are deleted with all that is on record of them; what lies elsewhere is remembered meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import asyncpg
from attrs import frozen
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from mediaq.errors import NotYours
from mediaq.store.borrowed import transact
from mediaq.store.link import BUSY
from mediaq.store.pool import Store

# Seconds that one deletion may take: an item may have thousands of jobs.
PATIENCE = 30.0
# Seconds that who deletes has to clear up what lies elsewhere, before the upkeep does.
HEAD_START = 5.0
# How often a deletion is tried that got in the way of others, and seconds between two tries at most.
TRIES, PAUSE = 20, 0.1


@frozen
class Erasure:
    """A deleted job that may have left something outside Postgres."""

    job_id: str
    type: str


async def erase(
    store: Store, media_item: str, user_id: str | None, timeouts: Mapping[str, float]
) -> list[Erasure] | None:
    """Deletes a media item with its jobs, results and vectors; its cost rows stay.

    From then on nothing can be written for its jobs, and no call of theirs be begun. A call that is under way
    is still settled: its cost row stands by itself.

    Args:
        store: The store.
        media_item: The item.
        user_id: Whose it has to be; None: anybody's.
        timeouts: Seconds that an attempt may take, by job type.

    Returns:
        Its jobs, which may have left something outside Postgres; None where there is no such item.

    Raises:
        NotYours: It is another user's.
        CommitUnknown: Postgres went away at the commit: it is deleted or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing was deleted.
    """
    trying = AsyncRetrying(
        retry=retry_if_exception_type((*BUSY, asyncpg.LockNotAvailableError)),
        stop=stop_after_attempt(TRIES),
        wait=wait_random(max=PAUSE),
        reraise=True,
    )
    erased: list[Erasure] | None = await trying(_erase, store, media_item, user_id, timeouts)
    return erased


async def _erase(
    store: Store, media_item: str, user_id: str | None, timeouts: Mapping[str, float]
) -> list[Erasure] | None:
    queries = store.queries
    async with transact(store.pool, PATIENCE) as connection:
        # Asked first, so that nobody locks what is another's; it may have changed by the time it is locked.
        if not _is_there(media_item, user_id, await queries.media_owner(connection, id=media_item)):
            return None
        await queries.lock_jobs_of(connection, id=media_item)
        if not _is_there(media_item, user_id, await queries.lock_erasable_item(connection, id=media_item)):
            return None
        await queries.lock_later_jobs_of(connection, id=media_item)
        begun = queries.begin_erasures(
            connection,
            id=media_item,
            types=list(timeouts),
            timeouts=list(timeouts.values()),
            head_start=HEAD_START,
        )
        erased = [Erasure(**row) async for row in begun]
        await queries.delete_media_item(connection, id=media_item)
        return erased


def _is_there(media_item: str, user_id: str | None, owner: str | None) -> bool:
    if owner is not None and user_id not in (None, owner):
        raise NotYours(media_item)
    return owner is not None


async def claim(store: Store, most: int) -> list[Erasure]:
    """Returns jobs to clear up after; those that are not ended come up again later."""
    return [Erasure(**row) async for row in store.queries.claim_erasures(store.pool, most=most)]


async def end(store: Store, cleared: Iterable[Erasure]) -> int:
    """Forgets jobs that were cleared up after, unless more may come; returns how many."""
    ids = [erasure.job_id for erasure in cleared]
    return len([row async for row in store.queries.end_erasures(store.pool, ids=ids)])


async def is_under_way(store: Store, job_id: str) -> bool:
    """Tells whether a job was deleted and is not cleared up after yet."""
    return bool(await store.queries.is_being_erased(store.pool, id=job_id))
