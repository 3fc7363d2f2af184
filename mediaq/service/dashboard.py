"""`/rq`: rq-dashboard for admins, in threads of its own; a page that signs browsers in for others."""

from __future__ import annotations

import html
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from loguru import logger
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from mediaq.service.auth import Authenticator, refuse_all_but_admins
from mediaq.service.problems import Problem
from mediaq.settings import Redis as RedisSettings

if TYPE_CHECKING:
    from a2wsgi import WSGIMiddleware

SIGN_IN = Path(__file__).with_name("sign_in.html")
# Pages and their data that are made at once; each waits for Redis in a thread.
THREADS = 4


@contextmanager
def open_dashboard(settings: RedisSettings) -> Iterator[ASGIApp | None]:
    """Yields rq-dashboard, to be served to admins only; None where it is not installed.

    Args:
        settings: The server that holds the queues.
    """
    with Redis.from_url(
        settings.url,
        socket_timeout=settings.timeout,
        socket_connect_timeout=settings.timeout,
        retry=Retry(NoBackoff(), 0),
    ) as redis:
        if (bridge := _make_bridge(redis, settings.url)) is None:
            yield None
            return
        try:
            yield bridge  # type: ignore[misc]  # a2wsgi has types of its own for the same protocol
        finally:
            bridge.executor.shutdown(wait=False)


def _make_bridge(redis: Redis, url: str) -> WSGIMiddleware | None:
    # Both come with the extra `dashboard`.
    try:
        from a2wsgi import WSGIMiddleware

        from mediaq.service.stock_dashboard import make_dashboard
    except ImportError as error:
        logger.info("/rq is not served: {}", error)
        return None
    application: Any = make_dashboard(redis, url)
    return WSGIMiddleware(application, workers=THREADS)


async def lead_to_dashboard(request: Request) -> Response:  # noqa: ARG001 - the shape of an endpoint
    """Leads from `/rq` to where rq-dashboard is mounted, whatever path the service itself is mounted at."""
    return RedirectResponse("rq/")


async def serve_dashboard(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves rq-dashboard to admins; an ASGI application, to be mounted."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    request = Request(scope)
    dashboard: ASGIApp | None = request.app.state.dashboard
    if dashboard is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "rq-dashboard is not installed here: `pip install mediaq[dashboard]`",
        )
    served: Any = await _refusal(request) or dashboard
    await served(scope, receive, send)


async def _refusal(request: Request) -> Response | None:
    authenticator: Authenticator = request.app.state.authenticator
    try:
        refuse_all_but_admins(await authenticator.caller(request))
    except Problem as problem:
        may_sign_in = problem.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        if may_sign_in and "text/html" in request.headers.get("Accept", ""):
            return _sign_in(request, problem)
        raise
    return None


def _sign_in(request: Request, problem: Problem) -> Response:
    nonce = secrets.token_urlsafe(16)
    page = Template(SIGN_IN.read_text()).substitute(
        detail=html.escape(problem.detail),
        path=json.dumps(f"{request.scope.get('app_root_path', '')}/api/session").replace("<", "\\u003c"),
        nonce=nonce,
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {**(problem.headers or {}), "Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(page, problem.status, headers)
