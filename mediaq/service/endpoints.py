"""All routes for callers who are known, in one table."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from mediaq.pipelines.catalog import PIPELINES
from mediaq.service import documents, health, media, routes, session, shapes
from mediaq.service.endpoint import ByJobType, Endpoint, Public, Text
from mediaq.service.examples import example_request

REQUESTS = ByJobType(
    {name: pipeline.request for name, pipeline in PIPELINES.items()},
    {name: example_request(pipeline) for name, pipeline in PIPELINES.items()},
)

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/queues",
        routes.get_queues,
        "Counts the jobs of every queue.",
        answers={HTTPStatus.OK: shapes.QueuesShown},
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}",
        routes.post_job,
        "Accepts a job.",
        answers={HTTPStatus.ACCEPTED: shapes.Accepted},
        problems=(
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
        body=REQUESTS,
        headers={"Idempotency-Key": routes.IdempotencyKey},
        sends={"Location": routes.Location},
    ),
    Endpoint(
        "GET",
        "/api/queues/{job_type}/{job_id}",
        routes.get_job,
        "Shows a job.",
        answers={HTTPStatus.OK: shapes.JobShown},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
    ),
    Endpoint(
        "GET",
        "/api/media/{media_item:path}/similar",
        media.get_similar,
        "Shows the media items most like one.",
        answers={HTTPStatus.OK: shapes.SimilarItems},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        query=media.SimilarQuery,
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
