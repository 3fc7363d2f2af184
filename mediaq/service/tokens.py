"""Tokens: JWTs signed with HS256 by a shared secret, or with RS256 or ES256 by a published key."""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Any

import jwt

from mediaq.service.jwks import ALGORITHMS, KeysAway, PublicKey, PublishedKeys
from mediaq.service.problems import Problem, away
from mediaq.settings import Auth

# RFC 7515, 7.1: three parts in base64url. So it can stand in a cookie as it is.
FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
# Tokens that are known again.
REMEMBERED = 256


class Tokens:
    """Checks tokens by the settings.

    Args:
        settings: Secret, audience, issuer and leeway.
        published: The published keys; None: tokens that need one are refused.
    """

    def __init__(self, settings: Auth, published: PublishedKeys | None) -> None:
        self._settings = settings
        self._published = published
        self._known: dict[str, dict[str, Any]] = {}

    async def verify(self, token: str) -> dict[str, Any]:
        """Returns a good token's claims; `sub` is a text and `exp` a number.

        Raises:
            Problem: 401 where it is not good; 503 where that cannot be told, as no published key is known.
        """
        try:
            return await self._claims(token)
        except jwt.ExpiredSignatureError:
            raise unauthorized("the token has expired: get a new one") from None
        except jwt.PyJWTError as error:
            raise unauthorized(f"the token is not accepted: {error}") from None
        except (TypeError, ValueError, OverflowError, RecursionError):
            # What the JWT library does not expect: times that are none, JSON that is nested too deeply.
            raise unauthorized("the token is not accepted: it is malformed") from None
        except KeysAway:
            raise away("the server that publishes the tokens' keys") from None

    async def _claims(self, token: str) -> dict[str, Any]:
        if (known := self._known.get(token)) is not None:
            return self._unexpired(known)
        if not FORM.fullmatch(token):
            raise jwt.DecodeError("it is no JWT")
        header = jwt.get_unverified_header(token)
        algorithm: str = header.get("alg", "")
        # The kind of key decides the algorithm, never the token: a public key is no HS256 secret.
        if algorithm == "HS256" and self._settings.secret:
            return self._remember(token, self._decode(token, str(self._settings.secret), algorithm))
        if algorithm in ALGORITHMS.values() and self._published:
            return self._decode(token, await self._key(self._published, header), algorithm)
        raise jwt.InvalidAlgorithmError(f"its algorithm {algorithm!r} is not accepted here")

    def _remember(self, token: str, claims: dict[str, Any]) -> dict[str, Any]:
        # A secret stays what it is, unlike a published key: what was good once is so until it expires.
        while len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[token] = claims
        return claims

    def _unexpired(self, claims: dict[str, Any]) -> dict[str, Any]:
        if int(claims["exp"]) <= time.time() - self._settings.leeway:
            raise jwt.ExpiredSignatureError
        return claims

    async def _key(self, published: PublishedKeys, header: dict[str, Any]) -> PublicKey:
        if not isinstance(kid := header.get("kid"), str):
            raise jwt.InvalidKeyError("its header names no key (kid)")
        if (key := await published.find(kid, header["alg"])) is None:
            raise jwt.InvalidKeyError(f"no {header['alg']} key {kid!r:.100} is published")
        return key

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


def unauthorized(detail: str) -> Problem:
    """Returns the answer for a caller who is not known."""
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
