"""Every request counted and traced, whatever it comes to; nothing of it is held back."""

from __future__ import annotations

import time
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaq.resources import Resources
from mediaq.telemetry.spans import CARRIED, Span

# Others are counted as one: whoever calls may make them up.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ENCODED = frozenset(name.encode() for name in CARRIED)


class Observed:
    """Tells of each request by its route, method and status, and of the seconds until its answer began.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        resources: Resources = scope["app"].state.resources
        method = scope["method"] if scope["method"] in METHODS else "other"
        telemetry, started = resources.telemetry, time.perf_counter()
        answered = False

        def tell(span: Span, status: int) -> None:
            nonlocal answered
            answered = True
            route = getattr(scope.get("route"), "path", "none")
            telemetry.meters.request_ended(route, method, status, time.perf_counter() - started)
            span.rename(f"{method} {route}")
            span.note("http.route", route)
            span.note("http.response.status_code", status)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(status))

        with telemetry.tracer.span(
            method, "server", parent=_carried(scope), http_request_method=method
        ) as span:

            async def watch(message: Message) -> None:
                if message["type"] == "http.response.start":
                    tell(span, message["status"])
                await send(message)

            try:
                await self._app(scope, receive, watch)
            except Exception:
                # Answered outside of here, with this status.
                if not answered:
                    tell(span, HTTPStatus.INTERNAL_SERVER_ERROR)
                raise


def _carried(scope: Scope) -> dict[str, str]:
    return {
        name.decode(): value.decode(errors="replace") for name, value in scope["headers"] if name in ENCODED
    }
