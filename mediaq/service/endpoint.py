"""A route as data: the service, its OpenAPI document and the tests of all routes are made from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from attrs import field, frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mediaq.resources import Resources
from mediaq.service.auth import Caller, refuse_all_but_admins
from mediaq.service.bodies import decode_query
from mediaq.service.csrf import SAFE_METHODS
from mediaq.service.problems import Problem
from mediaq.store.pool import storable

# What any route may answer: no token or a bad one, a query that it does not take, a request too many, a
# server away.
GUARDED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


@frozen
class Call:
    """A request whose caller is known and whose query has been checked.

    Args:
        request: The request; its body has not been read.
        resources: What the service works with.
        caller: Who calls.
        query: The decoded query, of the endpoint's `query` type.
    """

    request: Request
    resources: Resources
    caller: Caller
    query: Any

    @property
    def path(self) -> Mapping[str, Any]:
        """The path's parameters."""
        return self.request.path_params


@frozen
class EventStream:
    """The content of an answer that is server-sent events, `text/event-stream`.

    Args:
        events: The type of each event's data, which is JSON, by the event's name.
    """

    events: Mapping[str, Any]


@frozen
class Text:
    """The content of an answer that is text of another kind than JSON.

    Args:
        media_type: The kind, `text/csv` say.
    """

    media_type: str


@frozen
class ByJobType:
    """A JSON body that is of another type for each job type, where the path has `{job_type}`.

    Args:
        types: The types by job type.
        examples: An example by job type.
    """

    types: Mapping[str, Any]
    examples: Mapping[str, Any]


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query of nothing."""


Handle = Callable[[Call], Awaitable[Response]]


@frozen
class Endpoint:
    """One route for callers who are known.

    Args:
        method: HTTP's method.
        path: Starlette's pattern of the path.
        handle: Answers; raises Problem where it is another answer than the one asked for.
        summary: What it does, in a few words.
        answers: The type of each good answer's content by status, which is JSON unless it is an EventStream
            or a Text; None: no content; a tuple: one of these.
        problems: The statuses that it may answer otherwise, beside those of every route (GUARDED).
        query: The type that its query is decoded to and checked by; fields that it does not have are refused.
        body: The type of its JSON body, which `handle` reads itself, or types by job type; None: it has none.
        admin: Whether it is for admins only.
        headers: The types of the headers that it heeds, by name.
        sends: The types of the headers that its good answers have, by name.
    """

    method: str
    path: str
    handle: Handle
    summary: str
    answers: Mapping[HTTPStatus, Any]
    problems: tuple[HTTPStatus, ...] = ()
    query: type = NoQuery
    body: Any = None
    admin: bool = False
    headers: Mapping[str, Any] = field(factory=dict)
    sends: Mapping[str, Any] = field(factory=dict)

    @property
    def refusals(self) -> tuple[HTTPStatus, ...]:
        """All statuses that it may answer with a problem, each once and in their order."""
        # What changes something is refused to a session without its CSRF token.
        own = (HTTPStatus.FORBIDDEN,) if self.admin or self.method not in SAFE_METHODS else ()
        return tuple(sorted({*GUARDED, *self.problems, *own}))

    def route(self) -> Route:
        """Returns the route that Starlette serves."""
        route = Route(self.path, self._answer, methods=[self.method])
        # Names may have line breaks: Starlette's own pattern stops before one, or passes over it at the end.
        pattern = route.path_regex.pattern.removesuffix("$")
        route.path_regex = re.compile(rf"{pattern}\Z", re.DOTALL)
        return route

    async def _answer(self, request: Request) -> Response:
        caller = await request.app.state.authenticator.caller(request)
        await request.app.state.requests.admit(caller.user_id)
        if self.admin:
            refuse_all_but_admins(caller)
        _check_names(request.path_params)
        query: Any = decode_query(request.query_params, self.query)
        return await self.handle(Call(request, request.app.state.resources, caller, query))


def _check_names(names: Mapping[str, str]) -> None:
    # What no text on record can have in it, nothing on record is called by.
    for name in names.values():
        if storable(name) != name:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing called {name!r}")


@frozen
class Public:
    """One route for everybody, by GET and without a query.

    Args:
        path: The path.
        handle: Answers.
        summary: What it shows, in a few words.
        answers: As of an Endpoint, of bad news too.
        problems: As of an Endpoint; 401 is one where it depends on the settings who is let in.
    """

    path: str
    handle: Callable[[Request], Awaitable[Response]]
    summary: str
    answers: Mapping[HTTPStatus, Any]
    problems: tuple[HTTPStatus, ...] = ()

    def route(self) -> Route:
        """Returns the route that Starlette serves."""
        return Route(self.path, self.handle, methods=["GET"])
