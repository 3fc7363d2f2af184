"""What is on record at the end: jobs, calls and costs in Postgres, and the calls that the stand-in bills."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from havoc.ground import Ground
from mediaq import audit

_JOBS = """
select jobs.id, media_item_id, status, processing_status as media_status, attempts, deaths, failed_reason,
       stacktrace,
       extract(epoch from accepted_at)::float8 as accepted_at,
       extract(epoch from finished_at)::float8 as finished_at
from jobs join media_items on media_items.id = media_item_id
"""
_RUNS = """
select id, job_id, operation, part, state, error,
       extract(epoch from started_at)::float8 as started_at,
       extract(epoch from finished_at)::float8 as finished_at
from operation_runs
"""
_COSTS = """
select cost.id, cost.run_id, cost.job_id, cost.operation, item, units, amount, certainty,
       request_id, provider_id, token
from cost_entries cost left join operation_runs run on run.id = run_id
where certainty <> 'reused'
"""


@frozen(kw_only=True)
class Job:
    """A job; times are seconds since the epoch."""

    id: str
    media_item_id: str
    status: str
    media_status: str
    attempts: int
    deaths: int
    failed_reason: str | None
    stacktrace: Sequence[str]
    accepted_at: float
    finished_at: float | None

    @property
    def closed(self) -> bool:
        """Whether nothing more happens to it."""
        return self.finished_at is not None


@frozen(kw_only=True)
class Run:
    """A call of one of mediaq's operations, or of a part of one."""

    id: int
    job_id: str
    operation: str
    part: str
    state: str
    error: str | None
    started_at: float
    finished_at: float | None


@frozen
class Cost:
    """A row of the ledger, and the run it is for."""

    run_id: int | None
    entry: audit.Entry


@frozen
class Record:
    """All of it.

    Args:
        jobs: The jobs.
        runs: The calls.
        costs: The ledger without what was reused.
        calls: What the stand-in bills.
    """

    jobs: Sequence[Job]
    runs: Sequence[Run]
    costs: Sequence[Cost]
    calls: Sequence[audit.Call]


async def read_record(ground: Ground) -> Record:
    """Read everything.

    Raises:
        OSError, asyncpg.PostgresError, httpx.HTTPError: A server is away.
    """
    async with ground.postgres() as connection:
        jobs = [Job(**row) for row in await connection.fetch(_JOBS)]
        runs = [Run(**row) for row in await connection.fetch(_RUNS)]
        costs = [Cost(row["run_id"], audit.Entry.of(dict(row))) for row in await connection.fetch(_COSTS)]
    answer = (await ground.standin.get("calls", params={"billed": "true"}, timeout=60)).raise_for_status()
    return Record(jobs, runs, costs, audit.read_calls(answer.content))
