"""Answers as JSON: camelCase names, exact decimals, times in milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from mediaq.model import Certainty, Job, JobSummary, NewJob, job_path
from mediaq.pipelines.catalog import PIPELINES
from mediaq.service.auth import Caller
from mediaq.store.deliveries import Standing
from mediaq.store.jobs import Record


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a JSON answer; decimals are numbers, digit for digit."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(content)
    return Response(encoded, status, headers, "application/json")


def links(job: Job | JobSummary | NewJob) -> dict[str, str]:
    """Returns where a job is found."""
    return links_of(job.type, job.id)


def links_of(job_type: str, job_id: str) -> dict[str, str]:
    """Returns where a job of that type and id is found."""
    return {"self": job_path(job_type, job_id)}


def show_accepted(job: Job) -> dict[str, Any]:
    """Returns what is told of a job that is on record now, or is to run again."""
    return {
        "id": job.id,
        "jobType": job.type,
        "status": job.status,
        "estimate": job.estimate,
        "links": links(job),
    }


def show_job(record: Record, caller: Caller) -> dict[str, Any]:
    """Returns a job as its owner sees it; only admins see stack traces."""
    job, costs = record.job, record.costs
    return {
        "id": job.id,
        "jobType": job.type,
        "name": PIPELINES[job.type].description,
        "data": job.request,
        "progress": job.progress,
        "attemptsMade": job.attempts,
        "timestamp": millis(job.accepted_at),
        "processedOn": millis(job.processed_at),
        "finishedOn": millis(job.finished_at),
        "returnvalue": job.result,
        "failedReason": job.failed_reason,
        "stacktrace": job.stacktrace if caller.admin else [],
        "status": job.status,
        "cost": sum(row["amount"] for row in costs if row["certainty"] != Certainty.POSSIBLY_BILLED),
        "possibleCost": sum(row["amount"] for row in costs if row["certainty"] == Certainty.POSSIBLY_BILLED),
        "costs": [{camel(name): value for name, value in row.items()} for row in costs],
        "webhook": _show_delivery(job.webhook, record.delivery),
        "links": links(job),
    }


def _show_delivery(url: str | None, delivery: Standing | None) -> dict[str, Any] | None:
    if url is None or delivery is None:
        return None
    told = {"status": delivery.state, "attempts": delivery.attempts, "lastError": delivery.error}
    # A query may bear a password of the receiver's.
    return {"url": url.partition("?")[0], **told}


def show_summary(job: JobSummary) -> dict[str, Any]:
    """Returns what a list shows of a job."""
    return {
        "id": job.id,
        "jobType": job.type,
        "name": PIPELINES[job.type].description,
        "userId": job.user_id,
        "mediaItemId": job.media_item_id,
        "costCenter": job.cost_center,
        "status": job.status,
        "progress": job.progress,
        "attemptsMade": job.attempts,
        "timestamp": millis(job.accepted_at),
        "processedOn": millis(job.processed_at),
        "finishedOn": millis(job.finished_at),
        "failedReason": job.failed_reason,
        "links": links(job),
    }


def millis(time: datetime | None) -> int | None:
    """Returns a time in milliseconds since the epoch, as answers have it."""
    return None if time is None else round(time.timestamp() * 1000)


def camel(name: str) -> str:
    """Returns a name as answers and the OpenAPI document have it: `media_item_id` as `mediaItemId`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
