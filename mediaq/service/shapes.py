"""What the service answers, as types: they describe it in the OpenAPI document."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mediaq.model import Certainty, JobStatus, TaskStatus

Millis = Annotated[int, Meta(description="Milliseconds since the epoch, UTC.")]
Dollars = Annotated[Decimal, Meta(description="US dollars, exact.")]


class Shape(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Content in JSON: names in camelCase, nothing beside what it declares."""


class Links(Shape):
    """Where a job is found."""

    self: str


class Accepted(Shape):
    """A job that is on record now."""

    id: str
    job_type: str
    status: JobStatus
    links: Links


class SubTask(Shape, omit_defaults=True):
    """How one operation stands."""

    status: TaskStatus
    message: str | None = None


class Progress(Shape):
    """How far a job is: operations ended of all, and where each stands."""

    current: int
    total: int
    message: str
    sub_tasks: dict[str, SubTask]


class JobCost(Shape):
    """What one call of a job cost."""

    operation: str
    service: str
    item: str
    units: Decimal
    unit: str
    unit_price: Dollars
    price_version: str
    amount: Dollars
    certainty: Certainty


class JobShown(Shape):
    """A job as its owner sees it."""

    id: str
    job_type: str
    name: str
    data: dict[str, Any]
    progress: Progress
    attempts_made: int
    timestamp: Millis
    processed_on: Millis | None
    finished_on: Millis | None
    returnvalue: dict[str, Any] | None
    failed_reason: str | None
    stacktrace: Annotated[list[str], Meta(description="Shown to admins only.")]
    status: JobStatus
    cost: Annotated[Dollars, Meta(description="What is known to be billed.")]
    possible_cost: Annotated[Dollars, Meta(description="Of calls whose answers were lost: billed or not.")]
    costs: list[JobCost]
    links: Links


class JobListed(Shape):
    """What a list shows of a job."""

    id: str
    job_type: str
    name: str
    user_id: str
    media_item_id: str
    cost_center: str | None
    status: JobStatus
    progress: Progress
    attempts_made: int
    timestamp: Millis
    processed_on: Millis | None
    finished_on: Millis | None
    failed_reason: str | None
    links: Links


class JobsListed(Shape):
    """Jobs, the newest first."""

    jobs: list[JobListed]
    next_cursor: Annotated[str | None, Meta(description="For the jobs that follow; null: there are none.")]


class Outcome(Shape, omit_defaults=True):
    """What became of one job of a batch: on record by 202, as an accepted one is shown; else an error."""

    status: Annotated[int, Meta(description="As if it had been asked for alone.")]
    id: str | None = None
    job_type: str | None = None
    job_status: JobStatus | None = None
    links: Links | None = None
    error: str | None = None
    field: Annotated[str | None, Meta(description="What of the request was wrong.")] = None


class Outcomes(Shape):
    """What became of a batch's jobs, in the order given."""

    outcomes: list[Outcome]


class Retried(Shape):
    """Failed jobs that are run again."""

    retried: int
    ids: list[str]
    more: Annotated[bool, Meta(description="Whether further ones are left: ask again.")]


class Paused(Shape):
    """Whether mediaq's workers take a queue's jobs."""

    name: str
    paused: bool


class Counts(Shape):
    """How many jobs of a queue are in which state, in Redis."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: int


class QueueShown(Shape):
    """A queue and its counts."""

    name: str
    counts: Counts


class QueuesShown(Shape):
    """All queues."""

    queues: list[QueueShown]


class SessionShown(Shape):
    """A browser that is signed in."""

    user_id: str
    admin: bool
    expires_at: Millis
    csrf_token: Annotated[str, Meta(description="Goes into the header X-CSRF-Token; also in a cookie.")]


class SimilarItem(Shape):
    """A media item that is like another."""

    media_item_id: str
    similarity: Annotated[float, Meta(description="Cosine similarity, 1 for the same direction.")]
    metadata: dict[str, Any]


class SimilarItems(Shape):
    """The media items most like another, the most similar first."""

    media_item_id: str
    model: str
    dimensions: int
    items: list[SimilarItem]


class ProblemShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer other than the one asked for, as of RFC 9457; it may have further members."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    error: Annotated[str, Meta(description="The same as `detail`.")]
    field: Annotated[str | None, Meta(description="What of the request was wrong.")] = None
