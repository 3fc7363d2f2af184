"""A job as it stands in Redis, read without resolving what a payload names."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from mediaq.queue.codec import PlainPickle
from mediaq.queue.memo import check_memo
from mediaq.queue.payload import PayloadRefused, decode

# RQ's statuses of a job that does not run again by itself.
ENDED = frozenset({"finished", "failed", "stopped", "canceled"})
# Bytes of an error's text that are read at most. A few KB of zlib can stand for gigabytes.
MOST_ERROR = 2**20


@frozen
class Unreadable:
    """Stands where a value cannot be read: it is no plain value, or not of the queue's serializer.

    Args:
        reason: Why.
    """

    reason: str


@frozen
class Call:
    """What a job calls.

    Args:
        function: A dotted path.
        args: The positional arguments.
        kwargs: The keyword arguments.
    """

    function: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@frozen
class JobView:
    """A job at one moment.

    Args:
        id: Its id.
        queue: Its queue's name.
        status: RQ's: queued, started, deferred, scheduled, rate_limited, ready_to_enqueue, finished, failed,
            stopped or canceled.
        description: What RQ's tools show.
        call: What it calls; `Unreadable` where its payload is no call of plain values.
        meta: What stands beside it; `Unreadable` where that is no plain value.
        result: What its latest execution returned, if it returned; `Unreadable` where that is no plain value.
        error: The traceback of its latest execution, or the reason that it failed; None where it did not.
        created_at: When its producer made it.
        enqueued_at: When it was last put into its queue.
        started_at: When it was last started.
        ended_at: When it last ended.
        due_at: When it is put into its queue, where it is scheduled.
        worker: The name of the worker that last started it.
        timeout: Seconds an execution may take; negative: for ever.
        retries_left: How often it is run again after a failure.
        deaths: How many workers it has outlived.
        interruptions: How often a worker that had to end handed it back.
        waits_for: The ids of the jobs that it was made to wait for.
        latest: The id of its latest result in RQ's stream; empty before the first.
        kind: What its latest execution came to: one of `mediaq.queue.ends.Kind`, or 0.
    """

    id: str
    queue: str
    status: str
    description: str
    call: Call | Unreadable = field(repr=False)
    meta: Any
    result: Any
    error: str | None = field(repr=False)
    created_at: datetime | None
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    due_at: datetime | None
    worker: str | None
    timeout: int | None
    retries_left: int
    deaths: int
    interruptions: int
    waits_for: tuple[str, ...]
    latest: str = field(repr=False)
    kind: int = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether it does not run again by itself."""
        return self.status in ENDED


def read_view(job_id: str, answer: Sequence[Any], serializer: Any) -> JobView | None:
    """Returns the job that view.lua has found; None where there is none.

    Args:
        job_id: Its id.
        answer: The script's answer.
        serializer: The queue's serializer, as `resolve_serializer` returns it.
    """
    flat, results, due = answer
    fields = _Fields(flat)
    if not fields.text("status"):
        return None
    latest, result = (results[0][0].decode(), _Fields(results[0][1])) if results else ("", _Fields(()))
    return JobView(
        id=job_id,
        queue=fields.text("origin"),
        status=fields.text("status"),
        description=fields.text("description"),
        call=_call(fields, serializer),
        meta=_value(fields.raw("meta"), serializer, {}),
        result=_value(_unwrap(result.raw("return_value")), serializer, None),
        error=read_error(result.raw("exc_string")),
        **{name: fields.time(name) for name in ("created_at", "enqueued_at", "started_at", "ended_at")},
        due_at=datetime.fromtimestamp(float(due), UTC) if due else None,
        worker=fields.text("worker_name") or None,
        timeout=fields.number("timeout"),
        retries_left=fields.number("retries_left") or 0,
        deaths=fields.number("mediaq_deaths") or 0,
        interruptions=fields.number("mediaq_interruptions") or 0,
        waits_for=fields.ids("dependency_ids"),
        latest=latest,
        kind=result.number("type") or 0,
    )


def read_error(packed: bytes) -> str | None:
    """Returns the text of an error in one of RQ's results; None where there is none."""
    if not packed:
        return None
    try:
        return zlib.decompressobj().decompress(_unwrap(packed), MOST_ERROR).decode(errors="replace")
    except zlib.error as error:
        return f"the error on record cannot be read: {error}"


class _Fields:
    """Names and values in turn, written by anybody: what cannot be read counts as absent."""

    def __init__(self, flat: Sequence[bytes]) -> None:
        self._values = dict(zip(flat[::2], flat[1::2], strict=True))

    def raw(self, name: str) -> bytes:
        return self._values.get(name.encode(), b"")

    def text(self, name: str) -> str:
        return self.raw(name).decode(errors="replace")

    def number(self, name: str) -> int | None:
        with suppress(ValueError):
            return int(self.raw(name))
        return None

    def time(self, name: str) -> datetime | None:
        with suppress(ValueError):
            return datetime.fromisoformat(self.text(name))
        return None

    def ids(self, name: str) -> tuple[str, ...]:
        with suppress(ValueError, TypeError):
            return tuple(map(str, json.loads(self.raw(name))))
        return ()


def _call(fields: _Fields, serializer: Any) -> Call | Unreadable:
    try:
        return Call(*decode(fields.raw("data"), serializer))
    except PayloadRefused as refused:
        return Unreadable(str(refused))


def _value(payload: bytes, serializer: Any, absent: Any) -> Any:
    if not payload:
        return absent
    try:
        if serializer is PlainPickle:
            check_memo(payload)
        return serializer.loads(payload)
    except Exception as error:  # noqa: BLE001 - serializers raise what they like for bytes they cannot read
        return Unreadable(str(error))


def _unwrap(packed: bytes) -> bytes:
    with suppress(ValueError):
        return b64decode(packed)
    return packed
