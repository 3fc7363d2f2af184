"""The record of calls: on record before they are made, settled together with what they cost."""

from __future__ import annotations

from typing import Any

import stamina
from attrs import frozen

from mediaq.errors import FenceLost, ProviderError, ProviderJobFailed, ProviderJobRefused, Refused, Unanswered
from mediaq.model import Certainty, Charge, Job, Settled
from mediaq.store.pool import AWAY, Store, storable

Row = dict[str, Any]
# Holds an answer, for so many seconds, while Postgres is away: one that is let go may be paid for again.
# Recording an answer twice changes nothing.
holding = stamina.retry(on=AWAY, attempts=None, timeout=120.0)


@frozen
class Run:
    """One call on record.

    Args:
        id: Its number in `operation_runs`.
        job: The job it is for, as this worker started it.
        service: Whom it goes to.
        operation: The operation it is part of.
        adopted: Whether an earlier call with the same token is on record, which may be running there.
    """

    id: int
    job: Job
    service: str
    operation: str
    adopted: bool = False


@frozen
class Outcome:
    """What is on record for an operation for good: a result, or why the provider will never accept it."""

    operation: str
    result: Any
    error: str | None


async def begin(
    store: Store, job: Job, service: str, operation: str, *, estimate: Charge | None, token: str | None = None
) -> Run:
    """Puts a call on record before it is made.

    Args:
        store: The store.
        job: The job, with the fence of this worker's start.
        service: Whom the call goes to.
        operation: The operation it is part of.
        estimate: What it may cost at most; stands as possibly billed until the answer is recorded. None where
            the call costs nothing.
        token: The name by which the provider knows a repeated call; calls of one token share one record.

    Raises:
        FenceLost: Another worker has started the job since: the call must not be made.
    """
    row = await store.queries.begin_run(
        store.pool,
        job_id=job.id,
        fence=job.fence,
        service=service,
        operation=operation,
        token=token,
        **_priced(estimate),
    )
    if row is None:
        raise FenceLost(f"job {job.id} is another worker's now")
    return Run(row["id"], job, service, operation, row["adopted"])


@holding
async def settle(store: Store, run: Run, settled: Settled, certainty: Certainty = Certainty.BILLED) -> bool:
    """Records an answer: the result, its cost and its vector stand together, or none of them.

    Returns:
        Whether this is the operation's result; False for an answer that came after another's.
    """
    async with store.transaction() as connection:
        await store.queries.lock_job(connection, job_id=run.job.id)
        state = await store.queries.settle_run(
            connection, id=run.id, job_id=run.job.id, result=settled.result
        )
        if settled.charge is not None:
            await store.queries.settle_cost(
                connection,
                run_id=run.id,
                job_id=run.job.id,
                service=run.service,
                operation=run.operation,
                certainty=certainty,
                **_priced(settled.charge),
            )
        if settled.vector is not None and state == "succeeded":
            await store.queries.put_vector(
                connection,
                job_id=run.job.id,
                model=settled.vector.model,
                dimensions=len(settled.vector.values),
                vector=settled.vector.values,
                metadata=settled.vector.metadata,
            )
    return bool(state == "succeeded")


@holding
async def fail(store: Store, run: Run, error: ProviderError) -> None:
    """Records that a call failed; what may be done or running there stays possibly billed."""
    await store.queries.fail_run(
        store.pool,
        id=run.id,
        fence=run.job.fence,
        state=_state_after(error, run),
        error=storable(str(error)),
        over=isinstance(error, ProviderJobFailed | ProviderJobRefused),
        adopted=run.adopted,
    )


def _state_after(error: ProviderError, run: Run) -> str:
    match error:
        case Refused():
            return "refused"
        case ProviderJobFailed():
            return "job_failed"
        case Unanswered():
            return "unanswered"
        case _:
            return "unanswered" if run.adopted else "failed"


async def name_provider_job(store: Store, run: Run, provider_id: str) -> None:
    """Records under which id the provider runs an asynchronous job."""
    await store.queries.set_provider_id(store.pool, id=run.id, provider_id=provider_id)


async def generation(store: Store, job: Job, operation: str) -> int:
    """Returns how often the provider has reported this operation's asynchronous job as failed."""
    return int(await store.queries.count_failed_provider_jobs(store.pool, job_id=job.id, operation=operation))


async def outcomes(store: Store, job: Job) -> dict[str, Outcome]:
    """Returns what is on record for good of a job's operations, by operation."""
    rows = store.queries.known_outcomes(store.pool, job_id=job.id)
    return {row["operation"]: Outcome(row["operation"], row["result"], row["error"]) async for row in rows}


async def costs(store: Store, job_id: str) -> list[Row]:
    """Returns a job's cost rows in the order of its calls."""
    return [dict(row) async for row in store.queries.job_costs(store.pool, job_id=job_id)]


async def cost_summary(store: Store, user_id: str | None) -> list[Row]:
    """Returns the sums of the ledger by service, operation and certainty, of one user or of all."""
    return [dict(row) async for row in store.queries.cost_summary(store.pool, user_id=user_id)]


def _priced(charge: Charge | None) -> Row:
    if charge is None:
        return dict.fromkeys(("item", "units", "unit", "unit_price", "price_version", "amount"))
    return {
        "item": charge.item,
        "units": charge.units,
        "unit": charge.unit,
        "unit_price": charge.unit_price,
        "price_version": charge.price_version,
        "amount": charge.amount,
    }
