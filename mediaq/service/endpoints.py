"""All routes for callers who are known, in one table."""

from __future__ import annotations

from http import HTTPStatus

from mediaq.model import JobEvent
from mediaq.service import events, media, routes, shapes
from mediaq.service.endpoint import Endpoint, EventStream

JOB_EVENTS = EventStream(
    {
        JobEvent.PROGRESS: shapes.ProgressTold,
        JobEvent.STALLED: shapes.Told,
        JobEvent.COMPLETED: shapes.EndTold,
        JobEvent.FAILED: shapes.EndTold,
    }
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
        "/api/queues/{job_type}/{job_id}/events",
        events.get_job_events,
        "Tells what becomes of a job, until it has ended.",
        answers={HTTPStatus.OK: JOB_EVENTS},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
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
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        query=media.SimilarQuery,
    ),
)
