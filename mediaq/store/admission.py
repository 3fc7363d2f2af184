"""Which jobs there is room for: within budgets, and within what a user may have open at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from mediaq.errors import OverBudget, TooManyOpen
from mediaq.model import Job, NewJob
from mediaq.store import budgets
from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store

Refusal = OverBudget | TooManyOpen


async def admit(
    store: Store, connection: Connection, news: Sequence[NewJob], open_jobs: int
) -> Mapping[str, Refusal]:
    """Checks jobs that a transaction has put on record, and takes back those that there is no room for.

    To be done last of all, as others wait for what is locked here: the jobs' media items are locked by then,
    and their budgets counted (see `budgets.count`).

    Args:
        store: Postgres.
        connection: In the transaction.
        news: The jobs, in the order in which they are admitted.
        open_jobs: How many jobs of a user may be open at once; 0: any number.

    Returns:
        Why jobs were taken back, by id.
    """
    if surplus := await too_many(store, connection, news, open_jobs):
        await _take_back(store, connection, list(surplus))
    left = [new for new in news if new.id not in surplus]
    if over := await over_budget(store, connection, left):
        await _take_back(store, connection, list(over))
    return {**surplus, **over}


async def too_many(
    store: Store, connection: Connection, jobs: Sequence[Job | NewJob], open_jobs: int
) -> dict[str, Refusal]:
    """Returns which jobs that a transaction has made open are too many, by id: the last ones of each user.

    Args:
        store: Postgres.
        connection: In the transaction.
        jobs: The jobs.
        open_jobs: How many of a user may be open at once; 0: any number.
    """
    refused: dict[str, Refusal] = {}
    if open_jobs:
        # In one order, so that of two who count the same users none waits for the other in a circle.
        for _, of_user in groupby(sorted(jobs, key=_user_of), key=_user_of):
            refused |= await _too_many_of_one(store, connection, list(of_user), open_jobs)
    return refused


async def _too_many_of_one(
    store: Store, connection: Connection, jobs: Sequence[Job | NewJob], open_jobs: int
) -> dict[str, Refusal]:
    user_id = jobs[0].user_id
    await store.queries.lock_user(connection, user_id=user_id)
    found = await store.queries.count_open_jobs(connection, user_id=user_id, most=open_jobs + len(jobs))
    text = f"{open_jobs} of your jobs may be open at once, and are: wait until one has ended"
    surplus = max(int(found) - open_jobs, 0)
    return {job.id: TooManyOpen(text) for job in jobs[len(jobs) - surplus :]}


def _user_of(job: Job | NewJob) -> str:
    return job.user_id


async def over_budget(
    store: Store, connection: Connection, jobs: Sequence[Job | NewJob]
) -> dict[str, Refusal]:
    """Returns why budgets do not hold jobs that a transaction has made open, by id (see `budgets.check`)."""
    checked = zip(jobs, await budgets.check(store, connection, jobs), strict=True)
    return {job.id: reason for job, reason in checked if reason is not None}


async def _take_back(store: Store, connection: Connection, ids: Sequence[str]) -> None:
    items = [row["media_item_id"] async for row in store.queries.take_back_jobs(connection, ids=ids)]
    await store.queries.derive_media_statuses(connection, ids=items)
    await store.queries.take_back_media_items(connection, ids=items)
