"""Budgets: what the jobs of a user and of a cost center may cost in a month, exact whoever spends at once.

Which budgets are counted, and how, is in the migration that made their tables: by triggers, so that nobody
who writes jobs or costs has to think of them. A budget that no job was accepted under is not counted; `count`
begins to, from what is on record. What is checked here was written before, in the same transaction, which is
to be taken back where a budget does not hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from attrs import evolve, frozen

from mediaq.errors import CommitUnknown, FenceLost, OverBudget
from mediaq.model import Job, NewJob
from mediaq.store.borrowed import Connection, transact
from mediaq.store.pool import Store
from mediaq.store.writer import Row

# Budgets that are added up at a time where nobody checks them.
MOST = 100


class Kind(StrEnum):
    """Whose budget it is; in the order in which they are checked."""

    USER = "user"
    COST_CENTER = "cost_center"


@frozen(order=True)
class Budget:
    """Names a budget."""

    kind: Kind
    name: str


@frozen
class Standing:
    """How a budget stands.

    Args:
        month: The first day of the month (UTC).
        reserved: What open jobs may still cost.
        spent: What was billed or possibly billed in the month.
    """

    month: date
    reserved: Decimal
    spent: Decimal


def caps(job: Job | NewJob) -> dict[Budget, Decimal]:
    """Returns the caps that a job is under, by budget."""
    found = {}
    if job.terms.user_cap is not None:
        found[Budget(Kind.USER, job.user_id)] = job.terms.user_cap
    if job.terms.cost_center_cap is not None and job.cost_center is not None:
        found[Budget(Kind.COST_CENTER, job.cost_center)] = job.terms.cost_center_cap
    return found


async def count(store: Store, budgets: Iterable[Budget], seconds: float) -> None:
    """Has budgets counted from now on that are not yet; to be done before a job is accepted under them.

    It waits for the transactions that are at work and have not counted, and holds up others for as long as it
    takes to read this month's costs and the open jobs: once a budget.

    Args:
        store: Postgres.
        budgets: Which ones.
        seconds: For each.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away or refuses.
    """
    if not (asked := sorted(budgets)):
        return
    # All read before the first begins: reading holds a connection.
    for row in [row async for row in store.queries.uncounted_budgets(store.pool, **_named(asked))]:
        try:
            async with transact(store.pool, seconds) as connection:
                await store.queries.await_uncounted(connection)
                await store.queries.reserve_for_open_jobs(connection, kind=row["kind"], name=row["name"])
                await store.queries.begin_budget(connection, kind=row["kind"], name=row["name"])
        except CommitUnknown as error:
            # Counted or not: no job was accepted, and the next one asks again.
            raise ConnectionError(str(error)) from error


async def check(
    store: Store, connection: Connection, jobs: Sequence[Job | NewJob], own: Decimal | None = None
) -> list[OverBudget | None]:
    """Checks that budgets hold jobs that are on record as open, in the transaction that put them there.

    Of several jobs each counts for those after it, unless it is over a budget itself: then it must not stay
    on record, or not as open. All of the transaction's other locks come before: from here to its end nobody
    else can check these budgets.

    Args:
        store: Postgres.
        connection: In a transaction. Budgets with a cap are counted (see `count`).
        jobs: The jobs, with their terms.
        own: What each may still cost; by default its estimate.

    Returns:
        For each job the budget that does not hold it, if there is one.
    """
    asked = sorted({budget for job in jobs for budget in caps(job)})
    if not asked:
        return [None] * len(jobs)
    standings = await _add_up(store, connection, asked)
    for job in jobs:
        for budget in caps(job):
            standings[budget] = _with(standings[budget], -_own(job, own))
    return [_admit(job, _own(job, own), standings) for job in jobs]


def _own(job: Job | NewJob, own: Decimal | None) -> Decimal:
    return job.terms.estimate if own is None else own


def _with(standing: Standing, more: Decimal) -> Standing:
    return evolve(standing, reserved=standing.reserved + more)


def _admit(job: Job | NewJob, own: Decimal, standings: dict[Budget, Standing]) -> OverBudget | None:
    for budget, cap in caps(job).items():
        standing = standings[budget]
        if standing.spent + standing.reserved + own > cap:
            return OverBudget(
                whose="user" if budget.kind is Kind.USER else "costCenter",
                name=budget.name,
                month=standing.month,
                budget=cap,
                spent=standing.spent,
                reserved=standing.reserved,
                estimate=own,
            )
    for budget in caps(job):
        standings[budget] = _with(standings[budget], own)
    return None


async def revise(store: Store, job: Job, estimate: Decimal) -> None:
    """Puts on record what a running job costs at most, now that it is known better, and checks its budgets.

    Less than was estimated before is free for other jobs from now on; more needs room in the budgets that the
    job was accepted under. Doing it again changes nothing.

    Args:
        store: Postgres.
        job: The job, with the fence of this start.
        estimate: What it costs at most in all, in US dollars.

    Raises:
        OverBudget: A budget has no room for it; what was estimated before stands.
        FenceLost: Another worker has started the job since, or it is closed.
        OSError, asyncpg.PostgresError: Postgres is away or refuses.
    """
    if estimate == job.estimate:
        return
    async with store.transaction() as connection:
        revised = await store.queries.revise_estimate(
            connection, id=job.id, fence=job.fence, estimate=estimate
        )
        if revised is None:
            raise FenceLost(job.id)
        if estimate > job.terms.estimate and caps(job):
            own = await store.queries.what_remains(connection, job_id=job.id)
            [over] = await check(store, connection, [job], own)
            if over is not None:
                raise over


async def add_up(store: Store) -> None:
    """Adds up what has changed, so that it does not pile up where no budget is checked."""
    if not await store.queries.are_budgets_changed(store.pool):
        return
    async with store.transaction() as connection:
        rows = store.queries.lock_changed_budgets(connection, most=MOST)
        await _fold(store, connection, [_budget(row) async for row in rows])


async def show(store: Store) -> dict[Budget, Standing]:
    """Returns how all budgets stand that are counted."""
    return {_budget(row): _standing(row) async for row in store.queries.show_budgets(store.pool)}


async def _add_up(store: Store, connection: Connection, asked: Sequence[Budget]) -> dict[Budget, Standing]:
    await store.queries.lock_budgets(connection, **_named(asked))
    return await _fold(store, connection, asked)


async def _fold(store: Store, connection: Connection, locked: Sequence[Budget]) -> dict[Budget, Standing]:
    rows = store.queries.add_up_budgets(connection, **_named(locked))
    return {_budget(row): _standing(row) async for row in rows}


def _named(budgets: Sequence[Budget]) -> dict[str, list[str]]:
    return {"kinds": [budget.kind.value for budget in budgets], "names": [budget.name for budget in budgets]}


def _budget(row: Row | Mapping[str, Any]) -> Budget:
    return Budget(Kind(row["kind"]), row["name"])


def _standing(row: Mapping[str, Any]) -> Standing:
    return Standing(row["month"], row["reserved"], row["spent"])
