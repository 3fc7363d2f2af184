"""All routes for callers who are known, in one table."""

from __future__ import annotations

from http import HTTPStatus

from mediaq.service import accepting, jobs, media, queues, session, shapes
from mediaq.service.endpoint import Endpoint

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
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
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
        body=accepting.Batch,
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/pause",
        queues.pause_queue,
        "Has mediaq's workers take no more of a queue's jobs.",
        answers={HTTPStatus.OK: shapes.Paused},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
        admin=True,
    ),
    Endpoint(
        "POST",
        "/api/queues/{job_type}/resume",
        queues.resume_queue,
        "Has mediaq's workers take a queue's jobs again.",
        answers={HTTPStatus.OK: shapes.Paused},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
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
        problems=(*NOT_THE_CALLERS, HTTPStatus.CONFLICT, HTTPStatus.GATEWAY_TIMEOUT),
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
