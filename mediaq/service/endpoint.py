"""A route as data: the service, its OpenAPI document and the tests of all routes are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mediaq.resources import Resources
from mediaq.service.auth import Caller, refuse_all_but_admins
from mediaq.service.bodies import decode_query

# What any route may answer: no token or a bad one, a query that it does not take, a server away.
GUARDED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)


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
        answers: The type of each good answer's content by status; None: no content.
        problems: The statuses that it may answer otherwise, beside those of every route (GUARDED).
        query: The type that its query is decoded to and checked by; fields that it does not have are refused.
        body: The type of its JSON body, which `handle` reads itself; None: it has none.
        admin: Whether it is for admins only.
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

    def route(self) -> Route:
        """Returns the route that Starlette serves."""
        return Route(self.path, self._answer, methods=[self.method])

    async def _answer(self, request: Request) -> Response:
        caller = await request.app.state.authenticator.caller(request)
        if self.admin:
            refuse_all_but_admins(caller)
        query: Any = decode_query(request.query_params, self.query)
        return await self.handle(Call(request, request.app.state.resources, caller, query))
