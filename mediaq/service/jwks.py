"""The public keys that tokens are checked by, as a key server publishes them: a JWK set, RFC 7517."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from loguru import logger

from mediaq.errors import reason_of
from mediaq.queue.cancelling import cancel

# Seconds that keys are used before the server is asked again: so long a withdrawn key goes on being good.
FRESH = 300.0
# Seconds between the end of a request to the server and the next one, whatever tokens callers send.
PAUSE = 10.0
# Seconds that the server has for its answer, and the most bytes of it that are read.
PATIENCE, MOST = 5.0, 1 << 20

# The algorithm of each type of key. The key decides, never the token.
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
# RFC 7518, 3.3: RSA keys have 2,048 bits or more.
LEAST_BITS = 2048

PublicKey = RSAPublicKey | EllipticCurvePublicKey
# By `kid` and algorithm.
Keys = Mapping[tuple[str, str], PublicKey]


class KeysAway(Exception):
    """No key is known: the key server cannot be reached, or has been away for too long."""


class PublishedKeys:
    """The keys of one key server, fetched when they are needed, by one request at a time.

    Callers wait for a request only while the server is not known to be away; from then on they are served by
    the keys that are known, and the server is asked beside them.

    Args:
        url: Where the server publishes them.
        http: The client that asks.
        outage: Seconds that known keys go on being used while the server is away.
        now: A monotonic clock, in seconds.
    """

    def __init__(
        self, url: str, http: httpx.AsyncClient, outage: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._http = http
        self._outage = outage
        self._now = now
        self._keys: Keys = {}
        self._fetched = self._asked = -math.inf
        self._away = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str, algorithm: str) -> PublicKey | None:
        """Returns the key of that id for that algorithm, or None where the server publishes none.

        Raises:
            KeysAway: No key is known.
        """
        if self._age() > FRESH:
            await self._renew()
        if (kid, algorithm) not in self._known():
            await self._renew()
        if not (known := self._known()):
            raise KeysAway
        return known.get((kid, algorithm))

    async def close(self) -> None:
        """Ends a request that is under way."""
        if self._fetching is not None:
            await cancel([self._fetching])

    def _age(self) -> float:
        return self._now() - self._fetched

    def _known(self) -> Keys:
        return self._keys if self._age() <= FRESH + self._outage else {}

    async def _renew(self) -> None:
        if self._fetching is None and self._now() - self._asked >= PAUSE:
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None and not self._away:
            # Unlike an await of the task, this leaves it to the others where one caller goes.
            await asyncio.wait([self._fetching])

    async def _fetch(self) -> None:
        try:
            self._keys = await fetch_keys(self._http, self._url)
            self._fetched, self._away = self._now(), False
        except Exception as error:  # noqa: BLE001 - whatever it answers, the keys that are known stay
            self._away = True
            logger.warning("the tokens' keys cannot be fetched: {}", reason_of(error))
        finally:
            self._asked, self._fetching = self._now(), None


@asynccontextmanager
async def open_published(url: str, http: httpx.AsyncClient, outage: float) -> AsyncIterator[PublishedKeys]:
    """Yields the keys of a key server, which is asked when one is first needed."""
    published = PublishedKeys(url, http, outage)
    try:
        yield published
    finally:
        await published.close()


async def fetch_keys(http: httpx.AsyncClient, url: str) -> Keys:
    """Asks a key server for its keys.

    Raises:
        httpx.HTTPError, TimeoutError, ValueError: It gives no good answer in time.
    """
    body = bytearray()
    async with asyncio.timeout(PATIENCE), http.stream("GET", url) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MOST:
                raise ValueError(f"{url} answers more than {MOST} bytes")
    return read_keys(bytes(body))


def read_keys(document: bytes) -> Keys:
    """Reads a JWK set; keys that are not for checking signatures of ours are passed over.

    Raises:
        ValueError: It is no JWK set, or has no key that can be used: rather a mistake of the server than
            its wish that nobody be let in.
    """
    content = json.loads(document)
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError("what is published is no JWK set")  # noqa: TRY004 - a bad value from outside
    keys = {name: key for name, key in map(_read_key, listed) if key is not None}
    if not keys:
        raise ValueError(f"no key for {' or '.join(ALGORITHMS.values())} is published")
    return keys


def _read_key(entry: Any) -> tuple[tuple[str, str], PublicKey | None]:
    try:
        kid, algorithm = entry["kid"], ALGORITHMS[entry["kty"]]
        key = jwt.PyJWK(entry, algorithm).key if _is_for(entry, algorithm) else None
    except (jwt.PyJWTError, TypeError, ValueError, LookupError):
        return ("", ""), None
    return (kid, algorithm), key if isinstance(kid, str) and _is_strong(key) else None


def _is_for(entry: dict[str, Any], algorithm: str) -> bool:
    """Tells whether a key may check signatures of that algorithm; what it leaves out it allows."""
    return (
        entry.get("use", "sig") == "sig"
        and entry.get("alg", algorithm) == algorithm
        and "verify" in entry.get("key_ops", ["verify"])
    )


def _is_strong(key: object) -> bool:
    # A private key, published by mistake, is no key to be trusted.
    match key:
        case RSAPublicKey():
            return key.key_size >= LEAST_BITS
        case EllipticCurvePublicKey():
            return isinstance(key.curve, SECP256R1)
        case _:
            return False
