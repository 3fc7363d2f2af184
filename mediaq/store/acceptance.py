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
    store: Store, news: Sequence[NewJob], seconds: float, open_jobs: int = 0, *, patience: float = 0
) -> list[Outcome]:
    """Puts jobs on record together, or finds those that their idempotency keys stand for.

    Where the connection breaks at the commit, the same is done again under the same ids until it is known to
    stand: two transactions cannot insert one id, so the second waits for a first that is still at work, finds
    the jobs where that has committed, and inserts them where it has not.

    Args:
        store: Postgres.
        news: The jobs, at least one, of ids that no others have. Who may bring the same idempotency keys at
            the same time brings them in the same order, as one waits for the other.
        seconds: For the acceptance, and as many again to learn what became of it.
        open_jobs: How many jobs of a user may be open at once, these included; 0: any number.
        patience: Seconds to wait for what another transaction has locked; 0: as long as for all of it.

    Returns:
        An outcome for each, in their order: why it is not on record, where it is not.

    Raises:
        KeyTaken: An idempotency key stands for another request; none of the jobs is on record.
        CommitUnknown: Postgres stayed away after the commit was sent: the jobs may be on record or not.
        OSError, asyncpg.PostgresError: Postgres is away or refuses; nothing is on record.
    """
    await budgets.count(store, {budget for new in news for budget in budgets.caps(new)}, seconds)
    try:
        return await _accept(store, news, seconds, open_jobs, patience)
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


async def _accept(
    store: Store, news: Sequence[NewJob], seconds: float, open_jobs: int, patience: float = 0
) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    async with transact(store.pool, seconds) as connection:
        inserted: set[str] = set()
        # Again, where a job that stood in the way was deleted before it was looked at.
        while left := [new for new in news if new.id not in outcomes]:
            accepted = await _insert(store, connection, left, patience)
            inserted |= accepted.keys()
            outcomes |= accepted
            if left_out := [new for new in left if new.id not in accepted]:
                outcomes |= await _find_reasons(store, connection, left_out)
        if ours := [new for new in news if new.id in inserted]:
            outcomes |= await admit(store, connection, ours, open_jobs)
    return [outcomes[new.id] for new in news]


async def _insert(
    store: Store, connection: Connection, news: Sequence[NewJob], patience: float
) -> dict[str, Outcome]:
    rows = store.queries.accept_jobs(
        connection,
        rows=[_row(n, new) for n, new in enumerate(news)],
        users=[new.user_id for new in news],
        items=[new.media_item_id for new in news],
        keys=[new.idempotency_key for new in news],
        patience=f"{patience * 1000:.0f}",
    )
    return {row["id"]: Accepted(Job.from_row(row), is_new=True) async for row in rows}


async def _find_reasons(
    store: Store, connection: Connection, news: Sequence[NewJob]
) -> Mapping[str, Outcome]:
    """Returns why jobs were not inserted, by id: the items are another's, or the jobs are there already.

    It has none for a job in whose way there is nothing any more.
    """
    owners = store.queries.media_item_owners(connection, ids=[new.media_item_id for new in news])
    owner_of = {row["id"]: row["user_id"] async for row in owners}
    ours, others = [], {}
    for new in news:
        if owner_of[new.media_item_id] == new.user_id:
            ours.append(new)
        else:
            others[new.id] = NotYours(new.media_item_id)
    return {**others, **await _find(store, connection, ours)}


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


async def _find(store: Store, connection: Connection, news: Sequence[NewJob]) -> dict[str, Accepted]:
    rows = store.queries.accepted_jobs(
        connection,
        ids=[new.id for new in news],
        users=[new.user_id for new in news],
        keys=[new.idempotency_key for new in news],
    )
    found = [row async for row in rows]
    by_id = {row["id"]: row for row in found}
    by_key = {(row["user_id"], row["idempotency_key"]): row for row in found}
    accepted = {}
    for new in news:
        # By the key, too, where it is another request's job.
        row = by_id.get(new.id) or by_key.get((new.user_id, new.idempotency_key))
        if row is None:
            continue
        if row["digest"] != new.digest:
            raise KeyTaken("this Idempotency-Key was used for another request within the last 24 hours")
        accepted[new.id] = Accepted(Job.from_row(row), is_new=row["id"] == new.id)
    return accepted
