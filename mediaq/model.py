"""The values that travel between the parts: jobs, progress, charges. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import attrs
from attrs import field, frozen

# The reason of a job that its user gave up.
CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """Where a job stands; the first three are open, the last two are final."""

    WAITING = "waiting"
    ACTIVE = "active"
    DELAYED = "delayed"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def closed(self) -> bool:
        """Tells whether nothing more happens to a job in this state."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED)


class JobEvent(StrEnum):
    """What listeners hear of a job."""

    PROGRESS = "progress"
    STALLED = "stalled"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Tells whether nothing follows, unless the job is run again after it was closed."""
        return self in (JobEvent.COMPLETED, JobEvent.FAILED)


class TaskStatus(StrEnum):
    """Where one operation of a job stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def closed(self) -> bool:
        """Tells whether the operation has ended."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED)


class Certainty(StrEnum):
    """How sure a cost row is."""

    BILLED = "billed"
    POSSIBLY_BILLED = "possibly_billed"
    REUSED = "reused"


@frozen
class SubTask:
    """One operation's share of a job's progress."""

    status: TaskStatus = TaskStatus.PENDING
    message: str | None = None

    def as_json(self) -> dict[str, str]:
        """Returns the sub-task as it stands in Redis, Postgres and answers."""
        # A plain text: a member of an enum, pickled, names its class, which no worker of ours resolves.
        status = self.status.value
        return {"status": status} if self.message is None else {"status": status, "message": self.message}


@frozen
class Progress:
    """How far a job is: operations ended of all, and where each stands."""

    sub_tasks: Mapping[str, SubTask]
    message: str = "waiting"

    @classmethod
    def of(cls, operations: tuple[str, ...]) -> Progress:
        """Returns the progress of a job that has not begun."""
        return cls({name: SubTask() for name in operations})

    def having(self, operation: str, status: TaskStatus, message: str | None = None) -> Progress:
        """Returns this progress with one operation moved on; the others stay as they are."""
        moved = {**self.sub_tasks, operation: SubTask(status, message)}
        return Progress(moved, f"{operation}: {message or status}")

    def as_json(self) -> dict[str, Any]:
        """Returns the progress as it stands in Redis, Postgres and answers."""
        return {
            "current": sum(task.status.closed for task in self.sub_tasks.values()),
            "total": len(self.sub_tasks),
            "message": self.message,
            "subTasks": {name: task.as_json() for name, task in self.sub_tasks.items()},
        }


@frozen
class Terms:
    """What a job may cost, in US dollars.

    Args:
        estimate: What it costs at most, as far as is known.
        user_cap: What its user's jobs may cost in a month; None: no limit.
        cost_center_cap: What its cost center's jobs may cost in a month; None: no limit, or no cost center.
    """

    estimate: Decimal = Decimal(0)
    user_cap: Decimal | None = None
    cost_center_cap: Decimal | None = None


@frozen
class NewJob:
    """A job as a caller asks for it, validated and not yet accepted.

    Args:
        webhook: The URL that its end is told to; None: it is not told.
    """

    id: str
    type: str
    user_id: str
    media_item_id: str
    cost_center: str | None
    request: Mapping[str, Any]
    operations: tuple[str, ...]
    max_attempts: int
    idempotency_key: str | None = None
    digest: str | None = None
    terms: Terms = Terms()
    webhook: str | None = None


@frozen
class Job:
    """A job as it is on record.

    Args:
        opening: How often it was opened again after its end.
        webhook: The URL that its end is told to; None: it is not told.
    """

    id: str
    type: str
    user_id: str
    media_item_id: str
    cost_center: str | None
    request: Mapping[str, Any]
    status: JobStatus = field(converter=JobStatus)
    progress: Mapping[str, Any]
    attempts: int
    max_attempts: int
    deaths: int
    fence: int
    result: Mapping[str, Any] | None
    failed_reason: str | None
    stacktrace: list[str]
    accepted_at: datetime
    due_at: datetime | None
    processed_at: datetime | None
    finished_at: datetime | None
    opening: int = 0
    estimate: Decimal | None = None
    user_cap: Decimal | None = None
    cost_center_cap: Decimal | None = None
    webhook: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Job:
        """Builds a job from a row of `jobs`, whatever further columns it has."""
        return cls(**{name: row[name] for name in attrs.fields_dict(cls)})

    @property
    def terms(self) -> Terms:
        """What it may cost; nothing, as far as is known, where it is of an older version's making."""
        return Terms(self.estimate or Decimal(0), self.user_cap, self.cost_center_cap)

    @property
    def attempts_left(self) -> int:
        """How many attempts may still be started."""
        return max(self.max_attempts - self.attempts, 0)

    @property
    def cancelled(self) -> bool:
        """Tells whether its user gave it up."""
        return self.status is JobStatus.FAILED and self.failed_reason == CANCELLED


@frozen
class JobSummary:
    """What a list shows of a job."""

    id: str
    type: str
    user_id: str
    media_item_id: str
    cost_center: str | None
    status: JobStatus = field(converter=JobStatus)
    progress: Mapping[str, Any]
    attempts: int
    max_attempts: int
    failed_reason: str | None
    accepted_at: datetime
    processed_at: datetime | None
    finished_at: datetime | None


def job_path(job_type: str, job_id: str) -> str:
    """Returns where the service shows a job."""
    return f"/api/queues/{job_type}/{job_id}"


@frozen
class Tier:
    """A lower price for what goes beyond a volume.

    Args:
        above: Units of the item in one month (UTC) from which on it holds.
        unit_price: Price of each unit beyond them.
    """

    above: Decimal
    unit_price: Decimal


@frozen
class OpenJob:
    """What the reconciler needs to know of a job that is open on record.

    Args:
        died_of_push: The push whose worker's death before the start was the last one counted in `deaths`.
        opening: How often it was opened again after its end.
    """

    id: str
    type: str
    user_id: str
    status: JobStatus = field(converter=JobStatus)
    progress: Mapping[str, Any]
    attempts: int
    max_attempts: int
    deaths: int
    died_of_push: str
    fence: int
    accepted_at: datetime
    due_at: datetime | None
    opening: int = 0


@frozen(order=True)
class Place:
    """A job's place in the order in which jobs were accepted."""

    accepted_at: datetime
    id: str

    @classmethod
    def of(cls, job: OpenJob | JobSummary) -> Place:
        """Returns the place of a job."""
        return cls(job.accepted_at, job.id)


@frozen
class Announcement:
    """What is to be told of a job, after it is on record.

    Args:
        job: The job, as it was when it was read.
        event: What has become of it.
        progress: Where its operations stand now; None: nothing new is known of them.
    """

    job: Job | OpenJob
    event: JobEvent
    progress: Mapping[str, Any] | None = None


@frozen
class Charge:
    """What one call costs by the price list.

    As priced it is the month's first call, the dearest there is; `after` tells what it costs as a later one.

    Args:
        item: A line of the price list.
        units: What is billed of it.
        unit: The unit.
        unit_price: Price of the call's first unit.
        price_version: Version of the price list.
        tiers: Lower prices of later units, counted from the call's first.
    """

    item: str
    units: Decimal
    unit: str
    unit_price: Decimal
    price_version: str
    tiers: tuple[Tier, ...] = ()

    @property
    def amount(self) -> Decimal:
        """The price in US dollars, exact: `units` times `unit_price`, less what further tiers take off."""
        reached = [tier for tier in self.tiers if tier.above < self.units]
        prices = (self.unit_price, *(tier.unit_price for tier in reached))
        saved = (
            (self.units - tier.above) * (price - tier.unit_price)
            for price, tier in zip(prices, reached, strict=False)
        )
        return self.units * self.unit_price - sum(saved, Decimal(0))

    def after(self, before: Decimal) -> Charge:
        """Returns what the call costs once `before` units of the item have been billed in its month."""
        passed = [tier for tier in self.tiers if tier.above <= before]
        ahead = self.tiers[len(passed) :]
        return attrs.evolve(
            self,
            unit_price=passed[-1].unit_price if passed else self.unit_price,
            tiers=tuple(Tier(tier.above - before, tier.unit_price) for tier in ahead),
        )


@frozen
class Chunk:
    """The vector of a part of a content.

    Args:
        values: The vector.
        place: Where in the content the part is.
    """

    values: list[float]
    place: Mapping[str, Any]


@frozen
class Vector:
    """An embedding to be stored with its operation's result.

    Args:
        model: The model that made it.
        values: The vector of the whole content.
        metadata: What is stored with it.
        chunks: Those of the content's parts, where it was taken apart.
    """

    model: str
    values: list[float]
    metadata: Mapping[str, Any]
    chunks: Sequence[Chunk] = ()


@frozen
class Settled:
    """What an answered call came to.

    Args:
        result: The operation's result.
        charge: What the call costs; None where it costs nothing.
        vectors: The vectors that it made.
        request_id: The provider's own id of its answer.
    """

    result: Any
    charge: Charge | None = None
    vectors: Sequence[Vector] = ()
    request_id: str | None = None
