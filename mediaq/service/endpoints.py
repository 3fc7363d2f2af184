"""All routes in two tables: for callers who are known, and for everybody."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from mediaq.model import JobEvent
from mediaq.pipelines.catalog import PIPELINES
from mediaq.service import (
    accepting,
    costs,
    documents,
    events,
    health,
    jobs,
    media,
    metrics,
    queues,
    session,
    shapes,
)
from mediaq.service.endpoint import ByJobType, Endpoint, EventStream, Public, Text
from mediaq.service.examples import example_request

REQUESTS = ByJobType(
    {name: pipeline.request for name, pipeline in PIPELINES.items()},
    {name: example_request(pipeline) for name, pipeline in PIPELINES.items()},
)
BATCHES = ByJobType(
    dict.fromkeys(PIPELINES, accepting.Batch),
    {name: {"jobs": [request]} for name, request in REQUESTS.examples.items()},
)
JOB_EVENTS = EventStream(
    {
        JobEvent.PROGRESS: shapes.ProgressTold,
        JobEvent.STALLED: shapes.Told,
        JobEvent.COMPLETED: shapes.EndTold,
        JobEvent.FAILED: shapes.EndTold,
    }
)

NOT_THE_CALLERS = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/queues",
        queues.get_queues,
        "Counts the jobs of every queue.",
        answers={HTTPStatus.OK: shapes.QueuesShown},
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}",
        accepting.post_job,
        "Accepts a job.",
        answers={HTTPStatus.ACCEPTED: shapes.Accepted},
        problems=(
            HTTPStatus.PAYMENT_REQUIRED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
        body=REQUESTS,
        headers={"Idempotency-Key": accepting.IdempotencyKey},
        sends={"Location": accepting.Location},
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/batch",
        accepting.post_batch,
        "Accepts up to 1,000 jobs, each by itself.",
        answers={HTTPStatus.OK: shapes.Outcomes},
        problems=(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
        body=BATCHES,
        headers={"Idempotency-Key": accepting.IdempotencyKey},
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/pause",
        queues.pause_queue,
        "Has mediaq's workers take no more of a queue's jobs.",
        answers={HTTPStatus.OK: shapes.Paused},
        problems=(HTTPStatus.NOT_FOUND,),
        admin=True,
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/resume",
        queues.resume_queue,
        "Has mediaq's workers take a queue's jobs again.",
        answers={HTTPStatus.OK: shapes.Paused},
        problems=(HTTPStatus.NOT_FOUND,),
        admin=True,
    ),
    Endpoint(
        "GET",
        "/api/queues/{job_type}/{job_id}",
        jobs.get_job,
        "Shows a job.",
        answers={HTTPStatus.OK: shapes.JobShown},
        problems=NOT_THE_CALLERS,
    ),
    Endpoint(
        "DELETE",
        "/api/queues/{job_type}/{job_id}",
        jobs.delete_job,
        "Cancels a job, running or not.",
        answers={HTTPStatus.OK: shapes.JobShown},
        problems=(*NOT_THE_CALLERS, HTTPStatus.CONFLICT, HTTPStatus.GATEWAY_TIMEOUT),
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/{job_id}/retry",
        jobs.retry_job,
        "Runs a job again that failed or was cancelled.",
        answers={HTTPStatus.ACCEPTED: shapes.Accepted},
        problems=(
            HTTPStatus.PAYMENT_REQUIRED,
            *NOT_THE_CALLERS,
            HTTPStatus.CONFLICT,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
        sends={"Location": accepting.Location},
    ),
    Endpoint(
        "GET",
        "/api/jobs",
        jobs.get_jobs,
        "Lists jobs, the newest first.",
        answers={HTTPStatus.OK: shapes.JobsListed},
        problems=(HTTPStatus.FORBIDDEN,),
        query=jobs.ListQuery,
    ),
    Endpoint(
        "POST",
        "/api/jobs/retry",
        jobs.retry_jobs,
        "Runs up to 1,000 failed jobs again, the oldest first.",
        answers={HTTPStatus.OK: shapes.Retried},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.GATEWAY_TIMEOUT),
        query=jobs.RetryQuery,
    ),
    Endpoint(
        "GET",
        "/api/queues/{job_type}/{job_id}/events",
        events.get_job_events,
        "Tells what becomes of a job, until it has ended.",
        answers={HTTPStatus.OK: JOB_EVENTS},
        problems=NOT_THE_CALLERS,
    ),
    Endpoint(
        "GET",
        "/api/events",
        events.get_events,
        "Tells what becomes of the caller's jobs.",
        answers={HTTPStatus.OK: JOB_EVENTS},
        problems=(HTTPStatus.FORBIDDEN,),
        query=events.EventsQuery,
    ),
    Endpoint(
        "GET",
        "/api/media/{media_item:path}/similar",
        media.get_similar,
        "Shows the media items most like one.",
        answers={HTTPStatus.OK: shapes.SimilarItems},
        problems=(*NOT_THE_CALLERS, HTTPStatus.CONFLICT),
        query=media.SimilarQuery,
    ),
    # After the one above, which is more special: no item's name ends in /similar.
    Endpoint(
        "GET",
        "/api/media/{media_item:path}",
        media.get_item,
        "Shows a media item.",
        answers={HTTPStatus.OK: shapes.ItemShown},
        problems=NOT_THE_CALLERS,
    ),
    Endpoint(
        "DELETE",
        "/api/media/{media_item:path}",
        media.delete_item,
        "Deletes a media item with its jobs, results and vectors; its cost rows and the upload stay.",
        answers={HTTPStatus.NO_CONTENT: None, HTTPStatus.ACCEPTED: shapes.Deleting},
        problems=(*NOT_THE_CALLERS, HTTPStatus.GATEWAY_TIMEOUT),
    ),
    Endpoint(
        "GET",
        "/api/costs",
        costs.get_costs,
        "Sums costs, or shows them row by row; also as text/csv.",
        answers={HTTPStatus.OK: (shapes.CostsShown, Text("text/csv"))},
        problems=(HTTPStatus.FORBIDDEN,),
        query=costs.CostsQuery,
    ),
    Endpoint(
        "POST",
        "/api/session",
        session.post_session,
        "Signs a browser in: exchanges the bearer token for a cookie.",
        answers={HTTPStatus.OK: shapes.SessionShown},
        problems=(HTTPStatus.FORBIDDEN,),
    ),
    Endpoint(
        "DELETE",
        "/api/session",
        session.delete_session,
        "Signs a browser out.",
        answers={HTTPStatus.NO_CONTENT: None},
        problems=(HTTPStatus.FORBIDDEN,),
    ),
)

PUBLIC = (
    Public("/healthz", health.get_healthz, "Tells that the process answers.", {HTTPStatus.OK: shapes.Alive}),
    Public(
        "/readyz",
        health.get_readyz,
        "Tells whether the servers that are needed can be reached.",
        {HTTPStatus.OK: shapes.Ready, HTTPStatus.SERVICE_UNAVAILABLE: shapes.Ready},
    ),
    Public(
        "/metrics",
        metrics.get_metrics,
        "Shows what Prometheus collects.",
        {HTTPStatus.OK: Text("text/plain")},
        problems=(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE),
    ),
    Public(
        "/openapi.json",
        documents.get_openapi,
        "Shows this document.",
        {HTTPStatus.OK: dict[str, Any], HTTPStatus.NOT_MODIFIED: None},
    ),
    Public(
        "/docs",
        documents.get_docs,
        "Shows this document to people.",
        {HTTPStatus.OK: Text("text/html"), HTTPStatus.NOT_MODIFIED: None},
    ),
)
