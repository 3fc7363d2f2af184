"""Errors as callers see them: RFC 9457 problem details, with an `error` member that says it in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from loguru import logger
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from mediaq.errors import CommitUnknown, KeyTaken, MediaqError, NotYours, OverBudget, TooManyOpen, reason_of
from mediaq.model import NewJob
from mediaq.store.pool import AWAY as POSTGRES_AWAY

RETRY_AFTER = 5
# What the log says of requests for which a server was away.
OUTCOMES = {
    HTTPStatus.SERVICE_UNAVAILABLE: "is refused for now",
    HTTPStatus.GATEWAY_TIMEOUT: "was done or not, which is unknown",
}


class Problem(Exception):
    """An answer other than the one asked for.

    Args:
        status: The HTTP status.
        detail: What was wrong, where, and what to do.
        further: More members of the answer, such as the `field` that was wrong.
        headers: More headers.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None, **further: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.further = further

    def response(self) -> Response:
        """Returns the problem as an answer."""
        content = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "error": self.detail,
            **self.further,
        }
        encoded = msgspec.json.Encoder(decimal_format="number").encode(content)
        return Response(encoded, self.status, self.headers, "application/problem+json")


def invalid(field: str, why: str) -> Problem:
    """Returns the answer where a part of the request is wrong.

    Args:
        field: The part's name, or where in the request it is.
        why: What is wrong with it, and what to do.
    """
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {why}", field=field)


def away(what: str) -> Problem:
    """Returns the answer for a server that mediaq needs and cannot reach; nothing was done."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{what} cannot be reached; nothing was done, try again later",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def outcome_unknown(detail: str, **further: Any) -> Problem:
    """Returns the answer where Postgres went away at a commit: what was asked for is done or not.

    Args:
        detail: What is unknown, and how the caller finds out.
        further: More members of the answer.
    """
    return Problem(HTTPStatus.GATEWAY_TIMEOUT, detail, headers={"Retry-After": str(RETRY_AFTER)}, **further)


def unknown(job: NewJob, links: Mapping[str, str]) -> Problem:
    """Returns the answer where it cannot be told whether a job was accepted.

    Args:
        job: The job as it was to be accepted.
        links: Where it is found if it was.
    """
    safe = (
        "repeat the request with the same Idempotency-Key: it is safe, and gives the job if there is one"
        if job.idempotency_key is not None
        else f"look at {links['self']} in a minute: if there is no such job then, it was not accepted. "
        "Repeated earlier, it may make a second one. With an Idempotency-Key it could be repeated at once"
    )
    return outcome_unknown(
        f"Postgres went away while job {job.id} was accepted, and it is unknown whether it was: {safe}",
        id=job.id,
        links=dict(links),
    )


def unknown_batch(jobs: Sequence[NewJob]) -> Problem:
    """Returns the answer where it cannot be told whether a batch was accepted.

    Args:
        jobs: Its jobs as they were to be accepted, at least one.
    """
    safe = (
        "repeat the request with the same Idempotency-Key: it is safe, and gives the jobs if there are any"
        if jobs[0].idempotency_key is not None
        else "look at /api/jobs in a minute: what is not there then was not accepted. Repeated earlier, it "
        "may make the jobs a second time. With an Idempotency-Key it could be repeated at once"
    )
    return outcome_unknown(
        f"Postgres went away while {len(jobs)} jobs were accepted, all or none: it is unknown which: {safe}"
    )


def as_problem(error: Exception) -> Problem:
    """Returns the answer that an error stands for."""
    match error:
        case Problem():
            return error
        case HTTPException():
            status = HTTPStatus(error.status_code)
            return Problem(status, error.detail or status.phrase, headers=error.headers)
        case MediaqError():
            return _refusal(error)
        case ClientDisconnect():
            return Problem(HTTPStatus.BAD_REQUEST, "the request ended before its body did")
        case _:
            return _of_a_server(error) or _fault()


def _refusal(error: MediaqError) -> Problem:
    """Returns the answer where something is not done."""
    match error:
        case NotYours():
            return Problem(HTTPStatus.FORBIDDEN, str(error), field="mediaItemId")
        case KeyTaken():
            return Problem(HTTPStatus.CONFLICT, str(error))
        case OverBudget():
            return Problem(HTTPStatus.PAYMENT_REQUIRED, f"{error}; nothing was accepted", **_figures(error))
        case TooManyOpen():
            retry = {"Retry-After": str(RETRY_AFTER)}
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, f"{error}; nothing was accepted", headers=retry)
        case CommitUnknown():
            return outcome_unknown(
                "Postgres went away, and it is unknown whether this was done: repeat the request, it is safe"
            )
        case _:
            return _fault()


def _figures(error: OverBudget) -> dict[str, Any]:
    return {
        "whose": error.whose,
        "name": error.name,
        "month": f"{error.month:%Y-%m}",
        "budget": error.budget,
        "spent": error.spent,
        "reserved": error.reserved,
        "estimate": error.estimate,
    }


def _of_a_server(error: Exception) -> Problem | None:
    """Returns the answer where the error is that a server is away."""
    if isinstance(error, RedisError):
        return away("Redis")
    return away("Postgres") if isinstance(error, POSTGRES_AWAY) else None


def _fault() -> Problem:
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; it has been logged")


EXPECTED: tuple[type[Exception], ...] = (
    Problem,
    HTTPException,
    NotYours,
    KeyTaken,
    CommitUnknown,
    OverBudget,
    TooManyOpen,
    ClientDisconnect,
    RedisError,
    *POSTGRES_AWAY,
)


async def answer_wrong_method(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler's shape
    """Answers a method that the path does not take; names those of all its routes."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = (route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    # The first is the most special one: others may be about something that happens to be called so.
    path = next(matching, None)
    taken = {name for route in routes if route.path == path for name in route.methods or ()}
    # What is no route is a file.
    methods = ", ".join(sorted(taken or {"GET", "HEAD"}))
    detail = f"{request.method} is not for this path, which takes {methods}"
    return Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"Allow": methods}).response()


async def answer_error(request: Request, error: Exception) -> Response:
    """Answers an error; an unexpected one is logged with its traceback, a server that is away in one line."""
    problem = as_problem(error)
    if outcome := OUTCOMES.get(problem.status):
        reason = reason_of(error)
        logger.warning("{} {} {}: {}", request.method, request.url.path, outcome, reason)
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.opt(exception=error).error(
            "{} {} answered {}", request.method, request.url.path, problem.status
        )
    return problem.response()
