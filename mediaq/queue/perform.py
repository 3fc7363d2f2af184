"""From a claimed job to its end: decode, check, call, callbacks."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rq.job import Job, JobStatus, Retry
from rq.timeouts import JobTimeoutException

from mediaq.queue import ends
from mediaq.queue.functions import FunctionMissing, FunctionRefused
from mediaq.queue.payload import PayloadRefused, decode
from mediaq.queue.run import Reason, Run

if TYPE_CHECKING:
    from mediaq.queue.ends import End
    from mediaq.queue.worker import AsyncWorker

STOPPED = "Job stopped by user, work-horse terminated."


async def perform(run: Run, worker: AsyncWorker) -> End | None:
    """Runs a job and its callbacks.

    Returns:
        How it ended; None where nothing is to be written: another worker has taken it over, or this one has
        gone on without it.
    """
    try:
        value = await _call_in_turn(run, worker)
        if run.given_up:
            # Its end has been told, callbacks and all.
            return None
        run.end()
        if run.reason is Reason.STOPPED:
            # It was told to stop, and returned all the same.
            return await conclude(run, worker, asyncio.CancelledError())
        if isinstance(value, Retry):
            return ends.returned_retry(run, value)
        if run.text("success_callback_name"):
            _show(run, JobStatus.FINISHED)
            await _call_back(run, worker, "success", value)
        return ends.finished(run, value, keep=worker.options.keep_finished.get(run.lane.queue))
    except BaseException as error:  # noqa: BLE001 - whatever a job raises is its outcome
        return None if run.given_up else await conclude(run, worker, error)


async def conclude(run: Run, worker: AsyncWorker, error: BaseException) -> End | None:
    """Returns the end of an execution that raised, or that was cut short.

    Args:
        run: The execution.
        worker: Its worker.
        error: What came out of it.
    """
    run.end()
    if isinstance(error, FunctionRefused | PayloadRefused) and not isinstance(error, FunctionMissing):
        # Not tried again, and none of its callbacks called: what stands in Redis is not to be trusted.
        worker.log.error("Worker %s: job %s is refused: %s", worker.name, run.job_id, error)
        return ends.failed(run, "refused", f"{type(error).__name__}: {error}")
    # Whatever the job made of its cancellation: some turn it into an error of their own.
    match run.reason:
        case Reason.INTERRUPTED:
            return ends.interrupted(run)
        case Reason.CANCELED:
            return ends.canceled(run)
        case Reason.LOST:
            return None
        case Reason.STOPPED:
            return await _stop(run, worker)
        case Reason.TIMED_OUT if isinstance(error, asyncio.CancelledError):
            message = f"Task exceeded maximum timeout value ({run.timeout} seconds)"
            error = JobTimeoutException(message).with_traceback(error.__traceback__)
    return await _fail(run, worker, error)


async def _call_in_turn(run: Run, worker: AsyncWorker) -> Any:
    turns = worker.turns
    if turns is None or not turns.must_wait(run):
        return await _call(run, worker)
    async with turns.take(run):
        return await _call(run, worker)


async def _call(run: Run, worker: AsyncWorker) -> Any:
    name, args, kwargs = decode(run.fields[b"data"], run.serializer)
    for which in ("success", "failure", "stopped"):
        if callback := run.text(f"{which}_callback_name"):
            worker.functions.check(callback)
    function = await _resolve(worker, name)
    run.start_clock(run.timeout)
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    value = await _in_thread(run, worker, partial(function, *args, **kwargs))
    return await value if inspect.isawaitable(value) else value


async def _resolve(worker: AsyncWorker, name: str) -> Callable[..., Any]:
    function = worker.functions.known(name)
    if function is None:
        # An import may take seconds, in which the other jobs go on.
        function = await worker.threads.run(partial(worker.functions.resolve, name))
    return function


def _in_thread(run: Run, worker: AsyncWorker, act: Callable[[], Any]) -> asyncio.Future[Any]:
    answer = worker.threads.run(act, ended=partial(worker.thread_ended, run))
    # Not where no thread can be had.
    run.in_thread = True
    return answer


async def _call_back(run: Run, worker: AsyncWorker, which: str, *args: Any) -> None:
    """Runs one of RQ's callbacks, in a thread and within its own timeout."""
    callback = await _resolve(worker, run.text(f"{which}_callback_name"))
    if inspect.iscoroutinefunction(callback):
        raise TypeError(f"Coroutine {which} callbacks are not supported")
    timeout: int = getattr(run.job, f"{which}_callback_timeout")
    patience = asyncio.timeout(timeout)
    try:
        async with patience:
            await worker.threads.run(partial(callback, run.job, worker.connection, *args))
    except TimeoutError:
        if not patience.expired():
            # The callback's own.
            raise
    if patience.expired():
        raise JobTimeoutException(f"Task exceeded maximum timeout value ({timeout} seconds)")


def _show(run: Run, status: JobStatus) -> None:
    """Lets callbacks and exception handlers see the job as it is from now on."""
    # A hash that RQ cannot read has no job to show.
    with suppress(Exception):
        run.job._status = status  # noqa: SLF001 - as RQ's own workers do
        run.job.ended_at = run.ended_at


async def _fail(run: Run, worker: AsyncWorker, error: BaseException) -> End:
    outcome = "timed_out" if run.reason is Reason.TIMED_OUT else "failed"
    _show(run, JobStatus.FAILED)
    if run.text("failure_callback_name"):
        try:
            await _call_back(run, worker, "failure", type(error), error, error.__traceback__)
        except BaseException as raised:  # noqa: BLE001 - RQ: the callback's error takes the place of the job's
            _chain(raised, error)
            error = raised
    await worker.threads.run(partial(_tell_handlers, worker, run.job, error))
    text = _describe(error)
    if (run.number("retries_left") or 0) > 0:
        return ends.retried(run, outcome, text)
    return ends.failed(run, outcome, text, recorded=not worker.disable_default_exception_handler)


def _describe(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an error of a job's own may fail in any way when it is looked at
        return f"{type(error).__name__}; it cannot be told more about it"


def _chain(raised: BaseException, handled: BaseException) -> None:
    """Has an error tell which one was handled when it came up, as if both were of one thread."""
    while raised is not handled and raised.__context__ is not None:
        raised = raised.__context__
    if raised is not handled:
        raised.__context__ = handled


def _tell_handlers(worker: AsyncWorker, job: Job, error: BaseException) -> None:
    try:
        worker.handle_exception(job, type(error), error, error.__traceback__)
    except BaseException:
        worker.log.exception("Worker %s: an exception handler failed for job %s", worker.name, job.id)


async def _stop(run: Run, worker: AsyncWorker) -> End:
    worker.log.warning("Worker %s: job %s stopped by user", worker.name, run.job_id)
    if run.text("stopped_callback_name"):
        try:
            await _call_back(run, worker, "stopped")
        except BaseException:
            worker.log.exception("Worker %s: stopped callback of job %s failed", worker.name, run.job_id)
    return ends.failed(run, "stopped", STOPPED)
