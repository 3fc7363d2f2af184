"""Runs one attempt of one job: starts it, runs its operations concurrently, and puts its end on record."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Mapping
from typing import Any

import stamina
from attrs import frozen
from loguru import logger

from mediaq.errors import FenceLost, JobFailed, ProviderError, Refused, TryAgain
from mediaq.model import Job, JobStatus, TaskStatus
from mediaq.pipelines.operation import Operation, Pipeline, Tools, Work
from mediaq.pipelines.reporter import Announce, Reporter
from mediaq.queue.backoff import Backoff
from mediaq.store import jobs, leases, operations
from mediaq.store.pool import AWAY as POSTGRES_AWAY

# The share of a job's timeout that an operation may spend on a provider that fails: what remains is for the
# other operations, and for putting the end on record before RQ's own timeout strikes.
PATIENT_SHARE = 0.8
# Seconds that an attempt ends before RQ's own timeout, which would strike anywhere in the code.
MARGIN = 2.0
# The share of a job's timeout for which its worker waits for Postgres, rather than have RQ fail the job and
# use its retries up.
OUTAGE_SHARE = 0.5


@frozen
class Attempt:
    """One start of one job by this process.

    Args:
        tools: Clients, store and settings.
        pipeline: The job's pipeline.
        job: The job, with the fence of this start.
        reporter: Keeps the job's progress.
        known: What is on record for good, by operation.
        shared: What the operations share.
    """

    tools: Tools
    pipeline: Pipeline
    job: Job
    reporter: Reporter
    known: Mapping[str, operations.Outcome]
    shared: dict[str, asyncio.Task[Any]]


async def run_job(tools: Tools, pipeline: Pipeline, job_id: str, announce: Announce) -> dict[str, Any]:
    """Runs an attempt of a job; a closed job's stored outcome is returned or raised again.

    What a Postgres that was away has cut off goes on, as the same attempt, once it is back.

    Args:
        tools: Clients, store and settings.
        pipeline: The job's pipeline.
        job_id: The job's id, in Postgres as in Redis.
        announce: Told of the job's progress.

    Returns:
        The results, by result key.

    Raises:
        JobFailed: The attempt failed; says how many are left.
        FenceLost: Another worker has started the job since.
        OSError, asyncpg.PostgresError: Postgres stayed away for too long; the attempt is not used up.
    """
    return await _outlasting(tools, pipeline)(_run, tools, pipeline, job_id, announce)


def _outlasting(tools: Tools, pipeline: Pipeline) -> stamina.BoundAsyncRetryingCaller:
    """Returns what calls a function again for as long as Postgres is away."""
    patience = OUTAGE_SHARE * tools.settings.queues.named(pipeline.queue).timeout
    caller = stamina.AsyncRetryingCaller(attempts=None, timeout=patience, wait_initial=0.5, wait_max=5.0)
    return caller.on(POSTGRES_AWAY)


async def _run(tools: Tools, pipeline: Pipeline, job_id: str, announce: Announce) -> dict[str, Any]:
    lease = tools.settings.worker.lease
    job = await jobs.start(tools.store, job_id, leases.name_owner(), lease)
    if job is None:
        return await _replay(tools, job_id)
    with logger.contextualize(job=job_id):
        logger.info("attempt {} of {} starts", job.attempts, job.max_attempts)
        try:
            known = await operations.outcomes(tools.store, job)
            reporter = Reporter.of(tools.store, job, announce)
            attempt = Attempt(tools, pipeline, job, reporter, known, {})
            return await _while_leased(attempt, _attempt(attempt))
        except POSTGRES_AWAY:
            # Left active it would count as a worker's death when it starts again.
            await _outlasting(tools, pipeline)(jobs.release, tools.store, job)
            raise


async def _replay(tools: Tools, job_id: str) -> dict[str, Any]:
    job = await jobs.find(tools.store, job_id)
    if job is None:
        raise JobFailed(f"job {job_id} is not on record", attempts_left=0)
    if job.status is not JobStatus.COMPLETED:
        raise JobFailed(job.failed_reason or "failed", attempts_left=0)
    return dict(job.result or {})


async def _while_leased(attempt: Attempt, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Renews the job's lease until the work is done; work on a job that is another's by now is cancelled."""
    working = asyncio.ensure_future(work)
    try:
        while not working.done():
            await asyncio.wait({working}, timeout=attempt.tools.settings.worker.lease / 4)
            if not working.done():
                await _renew(attempt)
        return working.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _renew(attempt: Attempt) -> None:
    try:
        await jobs.renew(attempt.tools.store, attempt.job, attempt.tools.settings.worker.lease)
    except FenceLost:
        raise
    except Exception as error:  # noqa: BLE001 - Postgres may be away for a while; the fence decides
        logger.warning("the job's lease cannot be renewed: {}", error)


async def _attempt(attempt: Attempt) -> dict[str, Any]:
    queue = attempt.tools.settings.queues.named(attempt.pipeline.queue)
    deadline = asyncio.timeout(max(queue.timeout - MARGIN, queue.timeout / 2))
    errors: Mapping[str, Exception]
    try:
        async with deadline:
            errors = await _operate(attempt)
    except TimeoutError:
        if not deadline.expired():
            raise
        errors = {"job": TryAgain(f"took more than {queue.timeout} s", "Timeout")}
    except asyncio.CancelledError:
        await jobs.release(attempt.tools.store, attempt.job)
        raise
    finally:
        for shared in attempt.shared.values():
            shared.cancel()
    return await (_fail(attempt, errors) if errors else _complete(attempt))


async def _operate(attempt: Attempt) -> dict[str, Exception]:
    """Runs the operations to their ends, whichever fail; returns why those did that failed."""
    tasks: dict[str, asyncio.Task[Any]] = {}
    # The pipeline's order puts what is needed before what needs it.
    for name in attempt.pipeline.planned(attempt.job.request):
        operation = attempt.pipeline.operation(name)
        needs = {need: tasks[need] for need in operation.needs(attempt.job.request)}
        tasks[name] = asyncio.create_task(_run_operation(attempt, operation, needs), name=name)
    try:
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
    finally:
        for task in tasks.values():
            task.cancel()
    for outcome in ended:
        if isinstance(outcome, BaseException) and not _is_the_operations(outcome):
            raise outcome
    return {
        name: outcome for name, outcome in zip(tasks, ended, strict=True) if isinstance(outcome, Exception)
    }


def _is_the_operations(error: BaseException) -> bool:
    # Where nothing can be put on record, or the job is another's by now, the attempt is not over: it goes on
    # later or elsewhere.
    return isinstance(error, Exception) and not isinstance(error, (FenceLost, *POSTGRES_AWAY))


async def _run_operation(
    attempt: Attempt, operation: Operation, needs: Mapping[str, asyncio.Task[Any]]
) -> Any:
    try:
        needed = {name: await _result_of(name, task) for name, task in needs.items()}
        result = await _perform(attempt, operation, needed)
    except Exception as error:
        if _is_the_operations(error):
            logger.warning("{} failed: {}", operation.name, _explain(error))
            await attempt.reporter.report(operation.name, TaskStatus.FAILED, _explain(error))
        raise
    await attempt.reporter.report(operation.name, TaskStatus.COMPLETED)
    return result


async def _perform(attempt: Attempt, operation: Operation, needed: Mapping[str, Any]) -> Any:
    if (outcome := attempt.known.get(operation.name)) is not None:
        if outcome.error is not None:
            raise Refused(outcome.error, "OnRecord")
        return outcome.result

    async def report(status: TaskStatus, message: str | None) -> None:
        await attempt.reporter.report(operation.name, status, message)

    queue = attempt.tools.settings.queues.named(attempt.pipeline.queue)
    work = Work(
        job=attempt.job,
        operation=operation.name,
        tools=attempt.tools,
        results=needed,
        patience=min(attempt.tools.settings.aws.provider_patience, PATIENT_SHARE * queue.timeout),
        report=report,
        shared=attempt.shared,
    )
    await report(TaskStatus.PROCESSING, None)
    return await operation.perform(work)


async def _result_of(name: str, task: asyncio.Task[Any]) -> Any:
    try:
        return await asyncio.shield(task)
    except Refused as error:
        raise Refused(f"needs {name}, which failed", error.code) from error
    except ProviderError as error:
        raise TryAgain(f"needs {name}, which failed for now", error.code) from error


async def _obtained(attempt: Attempt) -> dict[str, Any]:
    """Returns what the job has come to so far: the results on record, whoever put them there."""
    known = await operations.outcomes(attempt.tools.store, attempt.job)
    return attempt.pipeline.outcome(
        {
            operation.result: known[operation.name].result
            for operation in attempt.pipeline.operations
            if operation.name in known and known[operation.name].error is None
        }
    )


async def _complete(attempt: Attempt) -> dict[str, Any]:
    outcome = await _obtained(attempt)
    metadata = attempt.pipeline.metadata(outcome)
    await jobs.end(
        attempt.tools.store, attempt.job, jobs.Ending(JobStatus.COMPLETED, outcome, metadata=metadata)
    )
    logger.info("completed")
    return outcome


def _explain(error: Exception) -> str:
    return str(error) if isinstance(error, ProviderError) else f"a fault in mediaq ({type(error).__name__})"


async def _fail(attempt: Attempt, errors: Mapping[str, Exception]) -> dict[str, Any]:
    reason = "; ".join(f"{name}: {_explain(error)}" for name, error in errors.items())
    worth_it = any(not isinstance(error, Refused) for error in errors.values())
    left = attempt.job.attempts_left if worth_it else 0
    queue = attempt.tools.settings.queues.named(attempt.pipeline.queue)
    backoff = Backoff(queue.backoff, queue.backoff_ceiling, queue.jitter)
    delay = backoff.intervals(attempt.job.attempts)[-1] if left else None
    ending = jobs.Ending(
        status=JobStatus.DELAYED if left else JobStatus.FAILED,
        result=await _obtained(attempt),
        reason=reason,
        trace="".join(line for error in errors.values() for line in traceback.format_exception(error)),
        delay=delay,
    )
    await jobs.end(attempt.tools.store, attempt.job, ending)
    logger.warning("attempt {} failed, {} left: {}", attempt.job.attempts, left, reason)
    raise JobFailed(reason, attempts_left=left, delay=delay)
