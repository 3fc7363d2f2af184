"""What the stand-in remembers: answered calls and asynchronous jobs; written down before it counts."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from attrs import field, frozen

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


@frozen
class Charge:
    """What one call is billed: so many units of a price list's item."""

    item: str
    units: Decimal
    unit: str


@frozen(kw_only=True)
class Call:
    """One line of the bill, or a call that failed and is not billed (`error` is set, `units` are 0).

    Args:
        service: The service's name in lower case, such as `rekognition`.
        operation: The operation's name in the service model.
        item: The price list's item.
        resource: What was analysed: `s3://bucket/key`, or `sha256:` and the digest of what was sent.
        units: How many units AWS would bill.
        unit: What is counted.
        billed: Whether AWS would bill it.
        error: The error's code, or `FAILED` for an asynchronous job that failed.
        http_status: The answer's status.
        request_id: The id of the answer, which never arrives where the connection is cut; None for the end
            of an asynchronous job, which no request belongs to.
        job: The asynchronous job's id or name.
        request_token: The caller's idempotency token.
    """

    id: str = field(factory=lambda: uuid4().hex)
    at: str = field(factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    service: str
    operation: str
    item: str
    resource: str
    units: Decimal = Decimal(0)
    unit: str = ""
    billed: bool = False
    error: str | None = None
    http_status: int = 200
    request_id: str | None = None
    job: str | None = None
    request_token: str | None = None


@frozen(kw_only=True)
class Job:
    """An asynchronous job as it was started.

    Args:
        id: The JobId, or the transcription job's name.
        service: The service that runs it.
        operation: The operation that started it.
        item: The item of the price list that it is billed as.
        resource: The address of its media.
        request: The whole request.
        created: Seconds since the epoch.
        doomed: Whether an injected fault makes it fail.
    """

    id: str
    service: str
    operation: str
    item: str
    resource: str
    request: dict[str, Any]
    created: float
    doomed: bool = False


@frozen(kw_only=True)
class End:
    """How a job ended.

    Args:
        job: The job's id.
        at: Seconds since the epoch.
        failure: Why it failed; None: it succeeded.
        result: What the service's Get operation answers from.
    """

    job: str
    at: float = 0.0
    failure: str | None = None
    result: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Entry:
    """Changes that are written together or not at all: one line of the file."""

    cleared: bool = False
    job: Job | None = None
    end: End | None = None
    calls: list[Call] = field(factory=list)


class Book:
    """The calls and jobs of one stand-in, kept in a file of JSON lines where one is given.

    A line is handed to the operating system before the call is answered, so a killed process loses none.

    Args:
        path: The file, made where it is missing; None keeps everything in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[Call] = []
        self.jobs: dict[str, Job] = {}
        self.ends: dict[str, End] = {}
        self.open_jobs: dict[str, Job] = {}
        self.tokens: dict[str, Job] = {}
        self._file = self._open(path) if path else None

    def commit(self, entry: Entry) -> None:
        """Write the entry, then let it count."""
        if self._file:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()
        self._apply(entry)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _open(self, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
        file.seek(0)
        whole = 0
        for line in file:
            # A process that was killed while it wrote leaves half a line, whose call was never answered.
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self._apply(msgspec.json.decode(line, type=Entry))
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
        return file

    def _apply(self, entry: Entry) -> None:
        if entry.cleared:
            self.calls.clear()
        if entry.job:
            self._add_job(entry.job)
        if entry.end:
            self.ends[entry.end.job] = entry.end
            del self.open_jobs[entry.end.job]
        self.calls.extend(entry.calls)

    def _add_job(self, job: Job) -> None:
        self.jobs[job.id] = self.open_jobs[job.id] = job
        if token := job.request.get("ClientRequestToken"):
            self.tokens[token] = job
