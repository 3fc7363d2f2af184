"""Against other sites' pages that have a signed-in browser send requests: a token, and who sent them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request

from mediaq.service.problems import Problem

# The second one is what rq-dashboard's pages send.
HEADERS = ("X-CSRF-Token", "X-CSRFToken")
# RFC 9110, 9.2.1: methods that change nothing.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def csrf_token(token: str) -> str:
    """Returns the CSRF token of a session: who does not know its bearer token cannot tell it.

    Args:
        token: The bearer token that the session is of.
    """
    derived = hmac.digest(token.encode(), b"mediaq: CSRF token", hashlib.sha256)
    return base64.urlsafe_b64encode(derived).rstrip(b"=").decode()


def refuse_forgery(request: Request, token: str) -> None:
    """Lets a request that a cookie signs through only where a page of this service's own has sent it.

    Args:
        request: The request; safe methods are let through.
        token: The bearer token that the cookie holds.

    Raises:
        Problem: 403 without the session's CSRF token, or where the browser says that another site is at work.
    """
    if request.method in SAFE_METHODS:
        return
    if not _is_same_origin(request):
        raise Problem(HTTPStatus.FORBIDDEN, "a page of another origin cannot use this session's cookie")
    given = next((request.headers[name] for name in HEADERS if name in request.headers), "")
    if not hmac.compare_digest(given.encode(), csrf_token(token).encode()):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"beside a session's cookie the header {HEADERS[0]} is needed, with the csrfToken that "
            "POST /api/session answered",
            field=HEADERS[0],
        )


def _is_same_origin(request: Request) -> bool:
    # Browsers write both headers themselves. The first one holds behind proxies, too, which may have changed
    # the host; `none` is the user's own doing. Clients that are no browsers send neither.
    if site := request.headers.get("Sec-Fetch-Site"):
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")
