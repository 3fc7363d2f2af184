"""All routes for callers who are known, in one table."""

from __future__ import annotations

from http import HTTPStatus

from mediaq.service import costs, media, routes, shapes
from mediaq.service.endpoint import Endpoint

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
        "/api/media/{media_item:path}/similar",
        media.get_similar,
        "Shows the media items most like one.",
        answers={HTTPStatus.OK: shapes.SimilarItems},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        query=media.SimilarQuery,
    ),
    # After the one above, which is more special: no item's name ends in /similar.
    Endpoint(
        "GET",
        "/api/media/{media_item:path}",
        media.get_item,
        "Shows a media item.",
        answers={HTTPStatus.OK: shapes.ItemShown},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
    ),
    Endpoint(
        "DELETE",
        "/api/media/{media_item:path}",
        media.delete_item,
        "Deletes a media item with its jobs, results and vectors; its cost rows and the upload stay.",
        answers={HTTPStatus.NO_CONTENT: None, HTTPStatus.ACCEPTED: shapes.Deleting},
        problems=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GATEWAY_TIMEOUT),
    ),
    Endpoint(
        "GET",
        "/api/costs",
        costs.get_costs,
        "Sums costs, or shows them row by row; also as text/csv.",
        answers={HTTPStatus.OK: shapes.CostsShown},
        problems=(HTTPStatus.FORBIDDEN,),
        query=costs.CostsQuery,
    ),
)
