"""Who is calling: who has sent a bearer token, or the cookie of a session, which holds one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx
from attrs import frozen
from starlette.requests import Request

from mediaq.service.claims import read_claim, read_texts
from mediaq.service.csrf import refuse_forgery
from mediaq.service.jwks import open_published
from mediaq.service.problems import Problem
from mediaq.service.tokens import Tokens, unauthorized
from mediaq.settings import Auth
from mediaq.store.pool import storable

LONGEST_USER_ID = 200
# The last one that calendars have.
LAST_SECOND = datetime.max.replace(tzinfo=UTC).timestamp()
# Browsers take a cookie whose name has this prefix only over HTTPS, from this very host: no neighbour under
# the same domain can put another in its place (RFC 6265bis, 4.1.3.2).
HOST_PREFIX = "__Host-"


@frozen
class Caller:
    """Who calls.

    Args:
        user_id: The token's `sub`.
        admin: Whether they may see and do everything.
        cost_centers: The cost centers that the token lists; None: they may name any.
    """

    user_id: str
    admin: bool
    cost_centers: frozenset[str] | None = None

    def may_see(self, user_id: str) -> bool:
        """Tells whether what belongs to that user is theirs to see."""
        return self.admin or self.user_id == user_id

    def may_charge(self, cost_center: str) -> bool:
        """Tells whether they may name that cost center."""
        return self.admin or self.cost_centers is None or cost_center in self.cost_centers


def refuse_all_but_admins(caller: Caller) -> None:
    """Lets admins through.

    Raises:
        Problem: 403 for others.
    """
    if not caller.admin:
        raise Problem(HTTPStatus.FORBIDDEN, "this is for admins only")


@frozen
class Bearer:
    """A good token and what it says.

    Args:
        token: The token.
        caller: Whose it is.
        expires: When it expires, in seconds since the epoch.
    """

    token: str
    caller: Caller
    expires: float


class Authenticator:
    """Tells who makes a request, by the settings.

    Args:
        settings: The claims' names, and whether cookies are for HTTPS only.
        tokens: Checks tokens.
    """

    def __init__(self, settings: Auth, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    async def caller(self, request: Request) -> Caller:
        """Returns who makes the request, by its bearer token or, without one, by its session's cookie.

        Raises:
            Problem: 401 without a good token; 403 where a cookie is used without its CSRF token;
                503 where no published key is known.
        """
        if _bearer_token(request) is not None or (token := self._cookie(request)) is None:
            return (await self.bearer(request)).caller
        found = await self._check(token)
        refuse_forgery(request, token)
        return found.caller

    async def bearer(self, request: Request) -> Bearer:
        """Returns the request's bearer token.

        Raises:
            Problem: 401 without a good one; 503 where no published key is known.
        """
        if (token := _bearer_token(request)) is None:
            raise unauthorized("a token is needed: send the header Authorization: Bearer TOKEN")
        return await self._check(token)

    async def _check(self, token: str) -> Bearer:
        claims = await self._tokens.verify(token)
        return Bearer(token, self._caller(claims), min(float(claims["exp"]), LAST_SECOND))

    def _cookie(self, request: Request) -> str | None:
        return request.cookies.get(session_cookie(self._settings)) or None

    def _caller(self, claims: dict[str, Any]) -> Caller:
        user_id, settings = claims["sub"], self._settings
        if not user_id or len(user_id) > LONGEST_USER_ID or storable(user_id) != user_id:
            raise unauthorized("the token's sub is not a usable user id")
        admin = read_claim(claims, settings.admin_claim) is True
        if not settings.cost_centers_claim:
            return Caller(user_id, admin)
        return Caller(user_id, admin, read_texts(read_claim(claims, settings.cost_centers_claim)))


@asynccontextmanager
async def open_authenticator(settings: Auth, http: httpx.AsyncClient) -> AsyncIterator[Authenticator]:
    """Yields what tells callers, with the published keys where the settings name a server of them.

    Args:
        settings: Who may call.
        http: The client that asks for published keys.
    """
    if not settings.jwks_url:
        yield Authenticator(settings, Tokens(settings, None))
        return
    async with open_published(settings.jwks_url, http, settings.jwks_outage) as published:
        yield Authenticator(settings, Tokens(settings, published))


def session_cookie(settings: Auth) -> str:
    """Returns the name of the cookie that holds a session's token."""
    return f"{HOST_PREFIX if settings.cookie_secure else ''}mediaq_session"


def _bearer_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
