"""How an execution ended, as finish.lua takes it: what the job leaves in Redis, and where it goes next."""

from __future__ import annotations

import time
import zlib
from base64 import b64encode
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rq.defaults import DEFAULT_FAILURE_TTL, UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.job import Retry

from mediaq.queue.dates import written

if TYPE_CHECKING:
    from mediaq.queue.run import Run

Item = str | bytes | int | float

# What Redis takes in one piece, unless it was told otherwise (proto-max-bulk-len).
MOST_BYTES = 512 * 2**20


# What an attempt that has failed counts as.
FAILURES = frozenset({"failed", "timed_out", "retried"})


class ResultTooLong(Exception):
    """What a job returned is longer than Redis takes."""


class End(NamedTuple):
    """How an execution ended.

    Args:
        status: RQ's status of the job from now on; empty where nothing is written.
        outcome: What the attempt counts as.
        args: What finish.lua takes for it.
        error: The traceback or the reason, where it failed.
    """

    status: str
    outcome: str
    args: list[Item]
    error: str | None = None

    @property
    def again(self) -> bool:
        """Whether it failed and is run again."""
        return self.outcome in FAILURES and self.status in ("queued", "scheduled")


class Kind(IntEnum):
    """RQ's types of results (rq.results.Result.Type)."""

    SUCCESSFUL = 1
    FAILED = 2
    RETRIED = 4
    MAX_RETRIES_EXCEEDED = 5


def finished(run: Run, value: Any, *, keep: int | None) -> End:
    """Returns the end of a job that returned.

    Args:
        run: The execution.
        value: What the job returned.
        keep: Finished jobs of its queue that stay at most.

    Raises:
        ResultTooLong: Redis would not take the value.
    """
    stays = run.result_ttl
    fields: list[Item] = ["status", "finished", *_times(run)]
    end: dict[str, Any] = {"dependents": "met", "tally": "successful"}
    if stays:
        end |= {"registry": "finished", "score": _expiry(stays, for_ever="+inf"), "keep": _or_empty(keep)}
        end |= {"result": _result(run, Kind.SUCCESSFUL, value=value), "result_stays": stays}
    if run.number("repeats_left"):
        end |= _repeat(run, fields)
    else:
        end["stays"] = stays
    return _end(run, "finished", fields, **end)


def failed(run: Run, outcome: str, error: str, *, recorded: bool = True) -> End:
    """Returns the end of a job that failed for good, was stopped, or was refused.

    Args:
        run: The execution.
        outcome: What it counts as: failed, timed_out or stopped.
        error: The traceback or the reason.
        recorded: Whether the failure is kept; RQ's --disable-default-exception-handler leaves it out.
    """
    fields: list[Item] = ["status", "stopped" if outcome == "stopped" else "failed"]
    dependents = "" if outcome == "stopped" else "failed"
    end: dict[str, Any] = {"dependents": dependents, "tally": "failed", "error": error}
    if recorded:
        fields += _times(run)
        stays = run.number("failure_ttl")
        end |= _in_failed_registry(stays)
        end |= {"result": _result(run, Kind.FAILED, error=error), "result_stays": _or_empty(stays)}
    return _end(run, outcome, fields, **end)


def retried(run: Run, outcome: str, error: str) -> End:
    """Returns the end of an attempt that failed and is run again; its error stays readable meanwhile."""
    left = run.number("retries_left") or 1
    intervals = run.retry_intervals
    wait = intervals[max(len(intervals) - left, 0)] if intervals else 0
    fields: list[Item] = ["retries_left", left - 1, *_times(run)]
    at_front = bool(run.number("enqueue_at_front_on_retry"))
    stays = run.number("failure_ttl")
    return _end(
        run,
        outcome,
        fields,
        tally="failed",
        error=error,
        result=_result(run, Kind.RETRIED, error=error),
        result_stays=_or_empty(stays),
        **_again(run, fields, wait, at_front=at_front),
    )


def returned_retry(run: Run, retry: Retry) -> End:
    """Returns the end of a job that returned a `Retry`: run again, or failed if that was often enough."""
    count = run.number("number_of_retries") or 0
    stays = run.number("failure_ttl")
    # Its text, not the object: what mediaq writes, mediaq reads without resolving a class.
    kept: dict[str, Any] = {"result_stays": _or_empty(stays), "tally": "failed"}
    if count >= retry.max:
        fields: list[Item] = ["status", "failed", *_times(run)]
        result = _result(run, Kind.MAX_RETRIES_EXCEEDED, value=repr(retry))
        return _end(
            run, "failed", fields, dependents="failed", result=result, **kept, **_in_failed_registry(stays)
        )
    at_front = bool(run.number("enqueue_at_front_on_retry")) or retry.enqueue_at_front
    fields = ["number_of_retries", count + 1, *_times(run)]
    if at_front:
        fields += ["enqueue_at_front_on_retry", 1]
    wait = Retry.get_interval(count, retry.intervals)
    result = _result(run, Kind.RETRIED, value=repr(retry))
    return _end(run, "retried", fields, result=result, **kept, **_again(run, fields, wait, at_front=at_front))


def interrupted(run: Run) -> End:
    """Returns the end of an execution that this worker gives back unfinished; no attempt is used up."""
    count = run.number("mediaq_interruptions") or 0
    fields: list[Item] = ["mediaq_interruptions", count + 1]
    return _end(run, "interrupted", fields, **_again(run, fields, 0, at_front=True))


def canceled(run: Run) -> End:
    """Returns the end of a job that was cancelled or deleted meanwhile: its traces go, nothing is written."""
    return _end(run, "canceled", ["last_heartbeat", written(run.ended_at)])


def _end(
    run: Run,
    outcome: str,
    fields: list[Item],
    *,
    tally: str = "",
    registry: str = "",
    score: Item = "",
    then: str = "",
    when: Item = "",
    stays: Item = "",
    dependents: str = "",
    keep: Item = "",
    result_stays: Item = "",
    result: list[Item] | None = None,
    error: str | None = None,
) -> End:
    result = result or []
    args = [
        *(run.job_id, run.execution, run.lane.queue, outcome, tally, run.worked, registry, score, then, when),
        *(stays, run.waited, dependents, keep, result_stays, len(fields), *fields, len(result), *result),
    ]
    # Of two, the later holds: a job that repeats is finished first, then queued.
    at = len(fields) - 1 - fields[::-1].index("status") if "status" in fields else -1
    return End(str(fields[at + 1]) if at >= 0 else "", outcome, args, error)


def _times(run: Run) -> list[Item]:
    ended_at = written(run.ended_at)
    return ["ended_at", ended_at, "last_heartbeat", ended_at]


def _again(run: Run, fields: list[Item], wait: float, *, at_front: bool) -> dict[str, Any]:
    stays = run.number("ttl")
    if wait:
        fields += ["status", "scheduled"]
        return {"then": "at", "when": int(time.time() + wait), "stays": _or_empty(stays)}
    fields += ["status", "queued", "enqueued_at", written(datetime.now(UTC))]
    if run.number("timeout") is None:
        fields += ["timeout", run.timeout]
    return {"then": "front" if at_front else "back", "stays": _or_empty(stays)}


def _repeat(run: Run, fields: list[Item]) -> dict[str, Any]:
    left = (run.number("repeats_left") or 1) - 1
    intervals = run.repeat_intervals
    wait = intervals[0] if intervals else 0
    fields += ["repeats_left", left]
    if len(intervals) > 1:
        fields += ["repeat_intervals", str(intervals[1:])]
    return _again(run, fields, wait, at_front=False)


def _in_failed_registry(stays: int | None) -> dict[str, Any]:
    stays = DEFAULT_FAILURE_TTL if stays is None else stays
    return {"registry": "failed", "score": _expiry(stays, for_ever=stays), "stays": stays}


def _expiry(stays: int, *, for_ever: Item) -> Item:
    return for_ever if stays < 0 else int(time.time()) + stays


def _result(run: Run, kind: Kind, *, value: Any = None, error: str | None = None) -> list[Item]:
    result: list[Item] = ["type", int(kind), "worker_name", run.worker_name]
    if error is not None:
        result += ["exc_string", b64encode(zlib.compress(error.encode(errors="replace")))]
    if value is not None:
        result += ["return_value", _encode(run, value)]
    return [
        *result,
        *("execution_id", run.execution),
        *("execution_started_at", run.started_at.timestamp()),
        *("execution_ended_at", run.ended_at.timestamp()),
    ]


def _encode(run: Run, value: Any) -> bytes:
    encoded = b64encode(_dump(run, value))
    if len(encoded) > MOST_BYTES:
        raise ResultTooLong(
            f"the job returned {len(encoded)} bytes as they are kept; Redis takes {MOST_BYTES}"
        )
    return encoded


def _dump(run: Run, value: Any) -> bytes:
    try:
        dumped: bytes = run.serializer.dumps(value)
    except Exception:  # noqa: BLE001 - what a job returned may fail in any way when it is written
        dumped = run.serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return dumped


def _or_empty(value: int | None) -> Item:
    return "" if value is None else value
