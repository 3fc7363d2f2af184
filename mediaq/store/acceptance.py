"""Jobs are accepted once: by their ids, which the service makes before, and by callers' idempotency keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import attrs
from attrs import frozen
from loguru import logger

from mediaq.errors import CommitUnknown, KeyTaken, NotYours
from mediaq.model import Job, NewJob, Progress
from mediaq.store import budgets
from mediaq.store.admission import Refusal, admit
from mediaq.store.borrowed import Connection, transact
from mediaq.store.media import derive_statuses
from mediaq.store.pool import AWAY, Store
from mediaq.store.writer import Row

# Seconds between two tries to learn what became of a commit.
PAUSE = 0.1


@frozen
class Accepted:
    """A job that is on record.

    Args:
        job: The job.
        is_new: Whether it is this one rather than an earlier one of its idempotency key.
    """

    job: Job
    is_new: bool


Outcome = Accepted | NotYours | Refusal


async def accept(store: Store, new: NewJob, seconds: float, open_jobs: int = 0) -> tuple[Job, bool]:
    """Puts a job on record, or finds the one that its idempotency key stands for; else as `accept_all`.

    Returns:
        The job, and whether it is this one rather than an earlier one of its idempotency key.

    Raises:
        NotYours: The media item is another user's.
        OverBudget: A budget does not leave what it may cost.
        TooManyOpen: Its user has as many open jobs as they may have.
    """
    [outcome] = await accept_all(store, [new], seconds, open_jobs)
    if not isinstance(outcome, Accepted):
        raise outcome
    return outcome.job, outcome.is_new


async def accept_all(
    store: Store, news: Sequence[NewJob], seconds: float, open_jobs: int = 0
) -> list[Outcome]:
    """Puts jobs on record together, or finds those that their idempotency keys stand for.

    Where the connection breaks at the commit, the same is done again under the same ids until it is known to
    stand: two transactions cannot insert one id, so the second waits for a first that is still at work, finds
    the jobs where that has committed, and inserts them where it has not.

    Args:
        store: Postgres.
        news: The jobs, at least one and all of one user, of ids that no others have.
        seconds: For the acceptance, and as many again to learn what became of it.
        open_jobs: How many jobs of the user may be open at once, these included; 0: any number.

    Returns:
        An outcome for each, in their order: why it is not on record, where it is not.

    Raises:
        KeyTaken: An idempotency key stands for another request; none of the jobs is on record.
        CommitUnknown: Postgres stayed away after the commit was sent: the jobs may be on record or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing is on record.
    """
    await budgets.count(store, {budget for new in news for budget in budgets.caps(new)}, seconds)
    try:
        return await _accept(store, news, seconds, open_jobs)
    except CommitUnknown as error:
        logger.warning("{} may be on record or not, which is asked again: {}", _name(news), error)
        return await _make_sure(store, news, seconds, open_jobs)


async def _make_sure(store: Store, news: Sequence[NewJob], seconds: float, open_jobs: int) -> list[Outcome]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        try:
            return await _accept(store, news, left, open_jobs)
        except (CommitUnknown, asyncpg.PostgresError, *AWAY) as error:
            # That they cannot be accepted now does not say that they were not before.
            logger.debug("{} may still be on record or not: {}", _name(news), error)
        await asyncio.sleep(PAUSE)
    raise CommitUnknown(f"Postgres went away when {_name(news)} was committed, and did not come back in time")


def _name(news: Sequence[NewJob]) -> str:
    return f"job {news[0].id}" if len(news) == 1 else f"a batch of {len(news)} jobs"


async def _accept(store: Store, news: Sequence[NewJob], seconds: float, open_jobs: int) -> list[Outcome]:
    async with transact(store.pool, seconds) as connection:
        owners = await _claim_media_items(store, connection, news)
        ours = [new for new in news if owners[new.media_item_id] == new.user_id]
        accepted = await _insert(store, connection, ours, open_jobs) if ours else {}
    return [
        accepted.get(new.id) or NotYours(f"media item {new.media_item_id} belongs to another user")
        for new in news
    ]


async def _claim_media_items(
    store: Store, connection: Connection, news: Sequence[NewJob]
) -> Mapping[str, str]:
    items = {new.media_item_id for new in news}
    owners: dict[str, str] = {}
    # One that was there for the insert may be deleted by the time its owner is known.
    while unclaimed := list(items - owners.keys()):
        await store.queries.insert_media_items(connection, ids=unclaimed, user_id=news[0].user_id)
        found = store.queries.media_item_owners(connection, ids=unclaimed)
        owners |= {owner["id"]: owner["user_id"] async for owner in found}
    return owners


async def _insert(
    store: Store, connection: Connection, news: Sequence[NewJob], open_jobs: int
) -> dict[str, Outcome]:
    """Inserts jobs for which there is room, or finds the ones in their way; returns the outcomes by id."""
    user_id, keys = news[0].user_id, [new.idempotency_key for new in news if new.idempotency_key is not None]
    if keys:
        await store.queries.forget_old_keys(connection, user_id=user_id, keys=keys)
    rows = [_row(n, new) for n, new in enumerate(news)]
    inserted = {row["id"]: row async for row in store.queries.insert_jobs(connection, rows=rows)}
    if inserted:
        await derive_statuses(store, connection, list({row["media_item_id"] for row in inserted.values()}))
    outcomes: dict[str, Outcome] = {
        job_id: Accepted(Job.from_row(row), is_new=True) for job_id, row in inserted.items()
    }
    if others := [new for new in news if new.id not in inserted]:
        outcomes |= await _find(store, connection, user_id, others)
    if inserted:
        outcomes |= await admit(store, connection, [new for new in news if new.id in inserted], open_jobs)
    return outcomes


def _row(n: int, new: NewJob) -> Row:
    return {
        "n": n,
        "id": new.id,
        "type": new.type,
        "user_id": new.user_id,
        "cost_center": new.cost_center,
        "media_item_id": new.media_item_id,
        "request": new.request,
        "progress": Progress.of(new.operations).as_json(),
        "max_attempts": new.max_attempts,
        "idempotency_key": new.idempotency_key,
        "digest": new.digest,
        "webhook": new.webhook,
        **attrs.asdict(new.terms),
    }


async def _find(
    store: Store, connection: Connection, user_id: str, news: Sequence[NewJob]
) -> dict[str, Accepted]:
    keys = [new.idempotency_key for new in news if new.idempotency_key is not None]
    rows = store.queries.accepted_jobs(connection, user_id=user_id, ids=[new.id for new in news], keys=keys)
    found = [row async for row in rows]
    # By the key, too, where it is another request's job.
    known = {row["idempotency_key"]: row for row in found} | {row["id"]: row for row in found}
    accepted = {}
    for new in news:
        row = known.get(new.id) or known[new.idempotency_key]
        if row["digest"] != new.digest:
            raise KeyTaken("this Idempotency-Key was used for another request within the last 24 hours")
        accepted[new.id] = Accepted(Job.from_row(row), is_new=row["id"] == new.id)
    return accepted
