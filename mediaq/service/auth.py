"""Who is calling: a bearer token, HS256 by a shared secret or RS256 by published keys."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import jwt
from attrs import frozen
from loguru import logger
from starlette.requests import Request

from mediaq.service.problems import Problem, away
from mediaq.settings import Auth
from mediaq.store.pool import storable

# Seconds that published keys are kept before they are asked for again.
KEYS_LIFESPAN = 300
LONGEST_USER_ID = 200


@frozen
class Caller:
    """Who calls.

    Args:
        user_id: The token's `sub`.
        admin: Whether they may see and do everything.
    """

    user_id: str
    admin: bool

    def may_see(self, user_id: str) -> bool:
        """Tells whether what belongs to that user is theirs to see."""
        return self.admin or self.user_id == user_id


class Authenticator:
    """Checks tokens by the settings; keeps the keys that the JWKS URL publishes.

    Args:
        settings: Secret, JWKS URL, audience, issuer, admin claim and leeway.
    """

    def __init__(self, settings: Auth) -> None:
        self._settings = settings
        self._published = (
            jwt.PyJWKClient(settings.jwks_url, lifespan=KEYS_LIFESPAN, timeout=5)
            if settings.jwks_url
            else None
        )

    async def caller(self, request: Request) -> Caller:
        """Returns who makes the request.

        Raises:
            Problem: 401 without a good token; 503 where the keys cannot be fetched.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("a token is needed: send the header Authorization: Bearer TOKEN")
        try:
            claims = await self._claims(token.strip())
        except jwt.ExpiredSignatureError:
            raise _unauthorized("the token has expired: get a new one") from None
        except jwt.PyJWTError as error:
            raise _unauthorized(f"the token is not accepted: {error}") from None
        return self._caller(claims)

    async def _claims(self, token: str) -> dict[str, Any]:
        algorithm = jwt.get_unverified_header(token).get("alg")
        settings = self._settings
        # The key decides the algorithm, never the token: an RS256 key is no HS256 secret.
        if algorithm == "HS256" and settings.secret:
            return self._decode(token, str(settings.secret), "HS256")
        if algorithm == "RS256" and self._published:
            key = await _fetch_key(self._published, token)
            return self._decode(token, key, "RS256")
        raise jwt.InvalidAlgorithmError(f"its algorithm {algorithm!r} is not accepted here")

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        settings = self._settings
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=settings.audience or None,
            issuer=settings.issuer or None,
            leeway=settings.leeway,
            options={"require": ["exp", "sub"], "verify_aud": bool(settings.audience)},
        )
        return claims

    def _caller(self, claims: dict[str, Any]) -> Caller:
        user_id = claims["sub"]
        if not user_id or len(user_id) > LONGEST_USER_ID or storable(user_id) != user_id:
            raise _unauthorized("the token's sub is not a usable user id")
        return Caller(user_id, admin=claims.get(self._settings.admin_claim) is True)


async def _fetch_key(published: jwt.PyJWKClient, token: str) -> jwt.PyJWK:
    try:
        return await asyncio.to_thread(published.get_signing_key_from_jwt, token)
    except (jwt.PyJWKClientConnectionError, OSError, ValueError) as error:
        # ValueError: what it answers is no JSON.
        logger.warning("the tokens' keys cannot be fetched: {}", error)
        raise away("the server that publishes the tokens' keys") from None


def _unauthorized(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
