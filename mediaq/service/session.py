"""Sessions of browsers: a cookie in the place of the bearer token, for what cannot send headers.

The cookie holds the caller's own token. So a session is checked as any call is, by secret or published key,
ends with its token, and needs neither a place to be kept nor a secret of mediaq's own, which installations
with published keys alone do not have. Its price is the length that browsers allow a cookie.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from starlette.responses import Response

from mediaq.service.answers import answer
from mediaq.service.auth import Authenticator, Bearer, session_cookie
from mediaq.service.csrf import csrf_token
from mediaq.service.endpoint import Call
from mediaq.service.problems import Problem
from mediaq.settings import Auth

# Bytes of name and value that browsers take at least (RFC 6265, 6.1), and Chrome at most.
LONGEST_COOKIE = 4096
# Scripts read it; the name is the one that rq-dashboard's pages look for.
CSRF_COOKIE = "_csrf_token"


async def post_session(call: Call) -> Response:
    """Signs a browser in: sets the cookies of a session that is as good, and as long, as the bearer token."""
    authenticator: Authenticator = call.request.app.state.authenticator
    bearer, settings = await authenticator.bearer(call.request), call.resources.settings.auth
    if len(session_cookie(settings)) + len(bearer.token) > LONGEST_COOKIE:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the token has {len(bearer.token)} characters, and a cookie with its name {LONGEST_COOKIE}: "
            "go on sending the token itself, or have one issued with fewer claims",
        )
    response = answer(
        {
            "userId": bearer.caller.user_id,
            "admin": bearer.caller.admin,
            "expiresAt": round(bearer.expires * 1000),
            "csrfToken": csrf_token(bearer.token),
        },
        headers={"Cache-Control": "no-store"},
    )
    _set_cookies(response, settings, bearer)
    return response


async def delete_session(call: Call) -> Response:
    """Signs a browser out: removes the cookies. The token itself stays good until it expires."""
    response, secure = Response(status_code=HTTPStatus.NO_CONTENT), call.resources.settings.auth.cookie_secure
    for name, hidden in ((session_cookie(call.resources.settings.auth), True), (CSRF_COOKIE, False)):
        response.delete_cookie(name, secure=secure, httponly=hidden, samesite="lax")
    return response


def _set_cookies(response: Response, settings: Auth, bearer: Bearer) -> None:
    # Within the leeway a token is good for some seconds more; a cookie of no seconds would be removed.
    seconds = max(1, int(bearer.expires - time.time()))
    # Lax: links from other sites lead to /rq signed in; what changes something needs the CSRF token besides.
    for name, value, hidden in (
        (session_cookie(settings), bearer.token, True),
        (CSRF_COOKIE, csrf_token(bearer.token), False),
    ):
        response.set_cookie(
            name, value, max_age=seconds, secure=settings.cookie_secure, httponly=hidden, samesite="lax"
        )
