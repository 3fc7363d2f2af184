"""What the service answers, as types: they describe it in the OpenAPI document."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

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
    estimate: Annotated[Dollars | None, Meta(description="What it costs at most by the price list.")]
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


class WebhookShown(Shape):
    """How it stands with telling a job's end."""

    url: Annotated[str, Meta(description="Without its query.")]
    status: Literal["pending", "delivered", "failed"]
    attempts: Annotated[int, Meta(description="How often the last end was sent or tried to be.")]
    last_error: str | None


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
    webhook: Annotated[WebhookShown | None, Meta(description="Null where nobody is to be told.")]
    links: Links


class Told(Shape):
    """An event: of which job it is."""

    id: str
    job_type: str


class ProgressTold(Told):
    """An event: how far a job is."""

    current: int
    total: int
    message: str
    sub_tasks: dict[str, SubTask]


class EndTold(Told):
    """An event: how a job ended."""

    status: JobStatus
    returnvalue: dict[str, Any] | None
    failed_reason: str | None
    attempts_made: int


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
    estimate: Annotated[Dollars | None, Meta(description="What it costs at most by the price list.")] = None
    links: Links | None = None
    error: str | None = None
    field: Annotated[str | None, Meta(description="What of the request was wrong.")] = None


class Outcomes(Shape):
    """What became of a batch's jobs, in the order given."""

    outcomes: list[Outcome]


class NotRetried(Shape):
    """A failed job for which there is no room."""

    id: str
    status: Annotated[int, Meta(description="402 over budget, 429 too many open.")]
    error: str


class Retried(Shape):
    """Failed jobs that are run again."""

    retried: int
    ids: list[str]
    refused: list[NotRetried]
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


class Alive(Shape):
    """The process answers."""

    status: Literal["ok"]


class Ready(Shape):
    """Whether the servers that are needed can be reached."""

    status: Literal["ok", "away"]
    away: Annotated[list[Literal["redis", "postgres"]], Meta(description="Those that cannot.")]


class SessionShown(Shape):
    """A browser that is signed in."""

    user_id: str
    admin: bool
    expires_at: Millis
    csrf_token: Annotated[str, Meta(description="Goes into the header X-CSRF-Token; also in a cookie.")]


class JobOfItem(Shape):
    """A job of a media item."""

    id: str
    job_type: str
    status: JobStatus
    links: Links


class EmbeddingOfItem(Shape):
    """A vector of a media item, without its values."""

    model: str
    dimensions: int
    chunks: Annotated[int, Meta(description="Vectors of passages or pictures; 0 where the whole has one.")]
    created_at: Millis


class ItemShown(Shape):
    """A media item as its owner sees it."""

    media_item_id: str
    status: Literal["pending", "processing", "completed", "failed"]
    metadata: Annotated[dict[str, Any], Meta(description="Results by their keys, and what they cost.")]
    created_at: Millis
    updated_at: Millis
    jobs: Annotated[list[JobOfItem], Meta(description="The newest first, 50 at most.")]
    embeddings: list[EmbeddingOfItem]
    cost: Annotated[Dollars, Meta(description="What is known to be billed.")]
    possible_cost: Annotated[Dollars, Meta(description="Of calls whose answers were lost: billed or not.")]


class Deleting(Shape):
    """A media item that is deleted, and of which something outside the record ends yet."""

    media_item_id: str
    jobs_ending: Annotated[int, Meta(description="Jobs that may still have something in Redis or S3.")]


class CostSums(Shape):
    """What some rows of the ledger come to."""

    calls: int
    reused: Annotated[int, Meta(description="Results of earlier calls that were taken for nothing.")]
    billed: Dollars
    possibly_billed: Annotated[Dollars, Meta(description="Of calls whose answers were lost: billed or not.")]


class CostGroup(CostSums, omit_defaults=True):
    """What the rows come to that have these in common; it has the names that were asked for."""

    service: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET
    day: Annotated[str, Meta(description="Of UTC, as 2026-11-30.")] | UnsetType = UNSET
    month: Annotated[str, Meta(description="Of UTC, as 2026-11.")] | UnsetType = UNSET
    cost_center: str | UnsetType | None = UNSET
    user: str | UnsetType = UNSET


class CostRow(JobCost):
    """One row of the ledger: a call, or a result that was taken from an earlier one."""

    id: int
    created_at: Millis
    user_id: str
    cost_center: str | None
    media_item_id: str
    job_id: str


class CostsShown(Shape):
    """The costs of a time: sums by what was asked for, or else the rows, the newest first."""

    from_: Millis = field(name="from")
    to: Annotated[Millis, Meta(description="The moment after the last.")]
    total: Annotated[CostSums | None, Meta(description="Of all; null in further pages of rows.")]
    groups: list[CostGroup]
    rows: list[CostRow]
    next_cursor: str | None


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
    whose: Annotated[
        Literal["user", "costCenter"] | None, Meta(description="Of status 402: whose budget it is.")
    ] = None
    name: Annotated[str | None, Meta(description="The user or the cost center.")] = None
    month: Annotated[str | None, Meta(description="The month (UTC) of the budget, as 2026-11.")] = None
    budget: Annotated[Dollars | None, Meta(description="What may be spent in the month.")] = None
    spent: Annotated[Dollars | None, Meta(description="What was billed, or possibly billed.")] = None
    reserved: Annotated[Dollars | None, Meta(description="What open jobs may still cost.")] = None
    estimate: Annotated[Dollars | None, Meta(description="What the job may cost.")] = None
