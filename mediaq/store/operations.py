"""The record of calls: on record before they are made, settled together with what they cost."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from mediaq.errors import (
    FenceLost,
    OnRecord,
    ProviderError,
    ProviderJobFailed,
    ProviderJobRefused,
    Refused,
    Unanswered,
)
from mediaq.model import Certainty, Charge, Job, Settled
from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store, storable
from mediaq.store.settling import SETTLE, priced
from mediaq.store.writer import Act, Row, marking

# States of a run whose answer is the one that counts.
COUNTING = ("succeeded", "part_succeeded")


@frozen
class Run:
    """One call on record.

    Args:
        id: Its number in `operation_runs`.
        job: The job it is for, as this worker started it.
        service: Whom it goes to.
        operation: The operation it is part of.
        adopted: Whether an earlier call with the same token is on record, which may be running there.
        part: The part of the operation that it is about; empty: the whole.
        named: Whether it carries a token, by which the provider may go on with it.
        estimate: What it may cost at most.
    """

    id: int
    job: Job
    service: str
    operation: str
    adopted: bool = False
    part: str = ""
    named: bool = False
    estimate: Charge | None = None


@frozen
class Outcome:
    """What is on record for an operation for good: a result, or why the provider will never accept it."""

    operation: str
    result: Any
    error: str | None


@frozen
class Earlier:
    """What the same call has come to before, for the same user."""

    result: Any


@frozen
class UnderWay:
    """The same call is under way for another job.

    Args:
        seconds: How long its answer may take at most.
    """

    seconds: float


async def begin(
    store: Store,
    job: Job,
    service: str,
    operation: str,
    *,
    estimate: Charge | None,
    token: str | None = None,
    seconds: float | None = None,
    part: str = "",
    fingerprint: str | None = None,
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
        seconds: How long its answer may take; until then nobody repeats it. None where it may be repeated.
        part: The part of the operation that it is about; empty: the whole.
        fingerprint: By which the same call is told later.

    Raises:
        FenceLost: Another worker has started the job since: the call must not be made.
        OnRecord: The result of the operation or of this part is on record: the call must not be made.
    """
    row = _beginning(job, service, operation, part, estimate)
    row |= {"token": token, "seconds": seconds, "fingerprint": fingerprint}
    begun = await store.writer.write(BEGIN, job.id, row, key=token or row["key"])
    run = _as_run(begun, job, service, operation, part, estimate)
    return attrs.evolve(run, named=token is not None)


async def begin_unless_known(
    store: Store,
    job: Job,
    service: str,
    operation: str,
    *,
    estimate: Charge,
    seconds: float,
    part: str = "",
    fingerprint: str,
    age: float,
) -> Run | Earlier | UnderWay:
    """Puts a call on record before it is made, unless the same call was answered or is under way.

    Of callers in any process that ask at once, one begins the call.

    Args:
        store: The store.
        job: The job, with the fence of this worker's start.
        service: Whom the call goes to.
        operation: The operation it is part of.
        estimate: What it may cost at most.
        seconds: How long its answer may take.
        part: The part of the operation that it is about; empty: the whole.
        fingerprint: By which the same call is told.
        age: Seconds since an answer within which it is as good as a new one.

    Raises:
        FenceLost: Another worker has started the job since: the call must not be made.
        OnRecord: The result of the operation or of this part is on record: the call must not be made.
    """
    row = _beginning(job, service, operation, part, estimate)
    row |= {"seconds": seconds, "fingerprint": fingerprint, "age": age}
    begun = await store.writer.write(BEGIN_UNLESS_KNOWN, job.id, row, name=fingerprint)
    if isinstance(begun, Earlier | UnderWay):
        return begun
    return _as_run(begun, job, service, operation, part, estimate)


async def look_up(store: Store, fingerprint: str, age: float) -> Earlier | UnderWay | None:
    """Returns what the same call has come to within the last `age` seconds, or that it is under way."""
    row = {"n": 0, "fingerprint": fingerprint, "age": age}
    async for found in store.queries.earlier_runs(store.pool, rows=[row]):
        return _as_known(found)
    return None


async def settle(store: Store, run: Run, settled: Settled, certainty: Certainty = Certainty.BILLED) -> bool:
    """Records an answer: the result, its cost and its vectors stand together, or none of them.

    Returns:
        Whether this is the result of the operation, or of its part; False for an answer that came after
        another's.
    """
    row = {"run": run, "settled": settled, "certainty": certainty}
    # Of two answers to one question, the second has to see the first.
    state, amount = await store.writer.write(
        SETTLE, run.job.id, row, key=(run.job.id, run.operation, run.part)
    )
    if amount is not None:
        store.observer.charged(run.service, run.operation, certainty, amount)
    return state in COUNTING


async def fail(store: Store, run: Run, error: ProviderError) -> None:
    """Records that a call failed; what may be done or running there stays possibly billed."""
    row = {
        "run_id": run.id,
        "fence": run.job.fence,
        "state": _state_after(error, run),
        "error": storable(str(error)),
        "over": isinstance(error, ProviderJobFailed | ProviderJobRefused),
        "adopted": run.adopted,
        "named": run.named,
    }
    await store.writer.write(FAIL, run.job.id, row, key=run.id)
    # One that is adopted may be on record as this since long ago.
    if row["state"] == "unanswered" and run.estimate is not None and not run.adopted:
        store.observer.charged(run.service, run.operation, Certainty.POSSIBLY_BILLED, run.estimate.amount)


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
    row = {"run_id": run.id, "provider_id": provider_id}
    await store.writer.write(NAME, run.job.id, row, key=run.id)


async def provider_job(store: Store, run: Run) -> str | None:
    """Returns the id under which the provider runs a call's asynchronous job, where that is on record."""
    known: str | None = await store.queries.provider_job(store.pool, run_id=run.id)
    return known


async def transcriptions(store: Store, user_id: str, key: str, most: int) -> list[Row]:
    """Returns a user's transcriptions of what was stored under a key, the newest first.

    Returns:
        Of each the run's `id`, the job's `request` and the `fingerprint`.
    """
    found = store.queries.transcriptions(store.pool, user_id=user_id, key=key, most=most)
    return [dict(row) async for row in found]


async def result_of(store: Store, run_id: int) -> Any:
    """Returns the result of a run; None where it is gone."""
    return await store.queries.run_result(store.pool, run_id=run_id)


async def seconds_to_answer(store: Store, job: Job, operation: str) -> float:
    """Returns how long a call of an earlier owner may still take to be answered; 0 or less: there is none."""
    left: float | None = await store.queries.seconds_to_answer(
        store.pool, job_id=job.id, operation=operation, fence=job.fence
    )
    return left or 0.0


async def generation(store: Store, job: Job, operation: str) -> int:
    """Returns how often the provider has reported this operation's asynchronous job as failed."""
    return int(await store.queries.count_failed_provider_jobs(store.pool, job_id=job.id, operation=operation))


async def outcomes(store: Store, job: Job) -> dict[str, Outcome]:
    """Returns what is on record for good of a job's operations, by operation."""
    rows = store.queries.known_outcomes(store.pool, job_id=job.id)
    return {row["operation"]: Outcome(row["operation"], row["result"], row["error"]) async for row in rows}


async def parts(store: Store, job: Job, operation: str) -> dict[str, Any]:
    """Returns the results on record of an operation's parts, by part."""
    rows = store.queries.known_parts(store.pool, job_id=job.id, operation=operation)
    return {row["part"]: row["result"] async for row in rows}


def _beginning(job: Job, service: str, operation: str, part: str, estimate: Charge | None) -> Row:
    return {
        "key": uuid.uuid4().hex,
        "job_id": job.id,
        "fence": job.fence,
        "service": service,
        "operation": operation,
        "part": part,
        **priced(estimate),
    }


def _as_run(
    begun: Mapping[str, Any] | None,
    job: Job,
    service: str,
    operation: str,
    part: str,
    estimate: Charge | None,
) -> Run:
    if begun is None:
        raise FenceLost(job.id)
    if begun["id"] is None:
        raise OnRecord(operation, begun["result"], begun["part"])
    return Run(begun["id"], job, service, operation, begun["adopted"], part, estimate=estimate)


def _as_known(row: Mapping[str, Any]) -> Earlier | UnderWay:
    return UnderWay(row["seconds"]) if row["state"] == "started" else Earlier(row["result"])


async def _begin(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    return {row["n"]: row async for row in queries.begin_runs(connection, rows=rows)}


async def _begin_unless_known(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
    known = {row["n"]: _as_known(row) async for row in queries.earlier_runs(connection, rows=rows)}
    fresh = [row for row in rows if row["n"] not in known]
    return {**known, **(await _begin(queries, connection, fresh) if fresh else {})}


BEGIN = Act(_begin)
BEGIN_UNLESS_KNOWN = Act(_begin_unless_known)
FAIL = marking("fail_runs")
NAME = marking("name_provider_jobs")
