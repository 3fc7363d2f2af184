"""Runs one attempt of one job: starts it, runs its operations concurrently, and puts its end on record."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from attrs import frozen
from loguru import logger

from mediaq.errors import DependencyAway, JobFailed, MediaqError, OnRecord, ProviderError, Refused, TryAgain
from mediaq.model import Job, JobEvent, JobStatus, TaskStatus
from mediaq.pipelines.clock import Clock
from mediaq.pipelines.inflight import Passage
from mediaq.pipelines.lease import while_leased
from mediaq.pipelines.operation import Operation, Pipeline, Tools, Work
from mediaq.pipelines.reporter import Announce, Reporter
from mediaq.queue.backoff import Backoff
from mediaq.queue.parking import can_park
from mediaq.settings import Queue
from mediaq.store import attempts, erasures, jobs, leases, operations

# The share of a job's timeout that an operation may spend on a provider that fails, where waiting counts: the
# rest is for the other operations.
PATIENT_SHARE = 0.8
# Seconds that an attempt ends before RQ's own timeout, which would strike anywhere in the code.
MARGIN = 2.0
# Seconds between two looks at a call of an earlier owner that may still be answered.
LOOK = 1.0


@frozen
class Attempt:
    """One start of one job by this process.

    Args:
        tools: Clients, store and settings.
        pipeline: The job's pipeline.
        job: The job, with the fence of this start.
        clock: Its time.
        reporter: Keeps the job's progress.
        shared: What the operations share.
    """

    tools: Tools
    pipeline: Pipeline
    job: Job
    clock: Clock
    reporter: Reporter
    shared: dict[str, asyncio.Task[Any]]

    @property
    def queue(self) -> Queue:
        """The settings of the job's queue."""
        return self.tools.settings.queues.named(self.pipeline.queue)


async def run_job(tools: Tools, pipeline: Pipeline, job_id: str, announce: Announce) -> dict[str, Any]:
    """Runs an attempt of a job; a closed job's stored outcome is returned or raised again.

    While Postgres is away the attempt waits, parked.

    Args:
        tools: Clients, store and settings.
        pipeline: The job's pipeline.
        job_id: The job's id, in Postgres as in Redis.
        announce: Told what becomes of the job.

    Returns:
        The results, by result key; none of a job that was deleted.

    Raises:
        JobFailed: The attempt failed; says how many are left.
        FenceLost: Another worker has started the job since.
        DependencyAway: Postgres stayed away for as long as the attempt may take, in a worker that cannot park
            jobs.
    """
    timeout = tools.settings.queues.named(pipeline.queue).timeout
    clock = Clock(max(timeout - MARGIN, timeout / 2))
    async with clock.parked_while_away(tools.store.link):
        job = await _start(tools, clock, job_id)
        if job is None:
            return await _replay(tools, job_id)
        with logger.contextualize(job=job_id):
            logger.info("attempt {} of {} starts", job.attempts, job.max_attempts)
            reporter = Reporter(tools.store, job, announce)
            return await _attempt(Attempt(tools, pipeline, job, clock, reporter, {}))


async def _start(tools: Tools, clock: Clock, job_id: str) -> Job | None:
    try:
        async with clock.running():
            return await attempts.start(tools.store, job_id, leases.name_owner(), tools.settings.worker.lease)
    except TimeoutError:
        raise DependencyAway("Postgres stayed away: the job was not started") from None


async def _replay(tools: Tools, job_id: str) -> dict[str, Any]:
    job = await tools.store.link.outlast(lambda: jobs.find(tools.store, job_id))
    if job is None:
        return await _skip_deleted(tools, job_id)
    if job.status is not JobStatus.COMPLETED:
        raise JobFailed(job.failed_reason or "failed", attempts_left=0)
    return dict(job.result or {})


async def _skip_deleted(tools: Tools, job_id: str) -> dict[str, Any]:
    # Deleted with its media item while Redis was away, say: it ends without a word.
    if await tools.store.link.outlast(lambda: erasures.is_under_way(tools.store, job_id)):
        return {}
    raise JobFailed(f"job {job_id} is not on record", attempts_left=0)


async def _attempt(attempt: Attempt) -> dict[str, Any]:
    try:
        errors = await _operate_in_time(attempt)
    except asyncio.CancelledError:
        # Cut short, by a deploy or a cancel: handed back unused.
        await _see_through(attempt, attempts.release(attempt.tools.store, attempt.job))
        raise
    return await (_fail(attempt, errors) if errors else _complete(attempt))


async def _operate_in_time(attempt: Attempt) -> Mapping[str, Exception]:
    """Runs the operations while there is time; returns why those failed that did."""
    try:
        async with attempt.clock.running(), attempt.reporter.telling():
            return await while_leased(attempt.tools, attempt.job, _operate(attempt))
    except TimeoutError:
        if attempt.tools.store.link.away:
            raise DependencyAway("Postgres stayed away: the attempt goes on when it is back") from None
        return {"job": TryAgain(f"took more than {attempt.queue.timeout} s", "Timeout")}
    finally:
        for shared in attempt.shared.values():
            shared.cancel()


async def _operate(attempt: Attempt) -> dict[str, Exception]:
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
    # Where the job is another's by now, the attempt is not over: it goes on elsewhere.
    ours = isinstance(error, MediaqError) and not isinstance(error, ProviderError)
    return isinstance(error, Exception) and not ours


async def _run_operation(
    attempt: Attempt, operation: Operation, needs: Mapping[str, asyncio.Task[Any]]
) -> Any:
    try:
        needed = {name: await _result_of(name, task) for name, task in needs.items()}
        result = await _perform(attempt, operation, needed)
    except Exception as error:
        if _is_the_operations(error):
            logger.warning("{} failed: {}", operation.name, _in_full(error))
            attempt.reporter.report(operation.name, TaskStatus.FAILED, _explain(error))
        raise
    attempt.reporter.complete(operation.name)
    return result


async def _perform(attempt: Attempt, operation: Operation, needed: Mapping[str, Any]) -> Any:
    known = await _earlier_outcome(attempt, operation)
    if known is not None and known.error is not None:
        raise Refused(known.error, "OnRecord")
    if known is not None:
        return known.result
    attempt.reporter.report(operation.name, TaskStatus.PROCESSING)
    work = Work(
        job=attempt.job,
        operation=operation.name,
        tools=attempt.tools,
        results=needed,
        patience=_patience(attempt),
        report=partial(attempt.reporter.report, operation.name),
        clock=attempt.clock,
        shared=attempt.shared,
    )
    try:
        with attempt.tools.telemetry.operation(attempt.job.type, operation.name):
            return await operation.perform(work)
    except OnRecord as late:
        if (late.operation, late.part) != (operation.name, ""):
            raise
        return late.result


def _patience(attempt: Attempt) -> float:
    patience = attempt.tools.settings.aws.provider_patience
    return patience if can_park() else min(patience, PATIENT_SHARE * attempt.queue.timeout)


async def _earlier_outcome(attempt: Attempt, operation: Operation) -> operations.Outcome | None:
    """Returns what is on record for an operation for good, once no earlier owner may add to it any more."""
    store = attempt.tools.store
    if attempt.job.fence == 1:
        return None
    look = partial(operations.seconds_to_answer, store, attempt.job, operation.name)
    if await store.link.outlast(look) > 0:
        attempt.reporter.report(operation.name, TaskStatus.PROCESSING, "an earlier call may yet be answered")
        async with attempt.clock.parked():
            while (left := await store.link.outlast(look)) > 0:  # noqa: ASYNC110 - another process has it
                await asyncio.sleep(min(left, LOOK))
    known = await store.link.outlast(lambda: operations.outcomes(store, attempt.job))
    return known.get(operation.name)


async def _result_of(name: str, task: asyncio.Task[Any]) -> Any:
    try:
        return await asyncio.shield(task)
    except Refused as error:
        raise Refused(f"needs {name}, which failed", error.code) from error
    except ProviderError as error:
        raise TryAgain(f"needs {name}, which failed for now", error.code) from error


async def _on_record(attempt: Attempt) -> dict[str, Any]:
    """Returns what the job has come to so far: the results on record by operation, whoever put them there."""
    store = attempt.tools.store
    known = await store.link.outlast(lambda: operations.outcomes(store, attempt.job))
    return {name: outcome.result for name, outcome in known.items() if outcome.error is None}


def _outcome(pipeline: Pipeline, found: Mapping[str, Any]) -> dict[str, Any]:
    results = {each.result: found[each.name] for each in pipeline.operations if each.name in found}
    return pipeline.outcome(results)


async def _complete(attempt: Attempt) -> dict[str, Any]:
    pipeline, found = attempt.pipeline, await _on_record(attempt)
    outcome = _outcome(pipeline, found)
    noted = {name: found[name] for name in pipeline.noted if name in found}
    metadata = {**pipeline.metadata(outcome), **noted}
    await _end(attempt, attempts.Ending(JobStatus.COMPLETED, outcome, metadata=metadata))
    logger.info("completed")
    return outcome


def _explain(error: Exception) -> str:
    """Returns what the job's owner is told; its trace is for admins."""
    return str(error) if isinstance(error, ProviderError) else "a fault in mediaq"


def _in_full(error: BaseException) -> str:
    cause = f", by {error.__cause__!r}" if error.__cause__ else ""
    return f"{error!r}{cause}"


async def _fail(attempt: Attempt, errors: Mapping[str, Exception]) -> dict[str, Any]:
    reason = "; ".join(f"{name}: {_explain(error)}" for name, error in errors.items())
    worth_it = any(not isinstance(error, Refused) for error in errors.values())
    left = attempt.job.attempts_left if worth_it else 0
    queue = attempt.queue
    backoff = Backoff(queue.backoff, queue.backoff_ceiling, queue.jitter)
    delay = backoff.intervals(attempt.job.attempts)[-1] if left else None
    ending = attempts.Ending(
        status=JobStatus.DELAYED if left else JobStatus.FAILED,
        result=_outcome(attempt.pipeline, await _on_record(attempt)),
        reason=reason,
        trace="".join(line for error in errors.values() for line in traceback.format_exception(error)),
        delay=delay,
    )
    await _end(attempt, ending)
    logger.warning("attempt {} failed, {} left: {}", attempt.job.attempts, left, reason)
    raise JobFailed(reason, attempts_left=left, delay=delay)


async def _end(attempt: Attempt, ending: attempts.Ending) -> None:
    progress = attempt.reporter.progress
    await _see_through(attempt, attempts.end(attempt.tools.store, attempt.job, ending, progress))
    # An attempt that another follows has ended, and not the job.
    event = JobEvent(ending.status) if ending.status.closed else JobEvent.PROGRESS
    await attempt.reporter.announce_end(event)


async def _see_through(attempt: Attempt, write: Coroutine[Any, Any, None]) -> None:
    async def see(passage: Passage) -> None:  # noqa: ARG001 - it is written whoever waits for it
        await write

    await attempt.tools.inflight.see_through(see)
