"""Cursors of lists: a place in the list, sealed, so that one that was not made here is told at once."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from mediaq.model import Place
from mediaq.service.problems import Problem

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time in microseconds since the epoch, and a job's id.
TOLD = re.compile(rb"(\d{1,17}) ([A-Za-z0-9_-]+)")
# Bytes of the seal.
SEAL = 9


def write_cursor(place: Place, secret: str) -> str:
    """Returns a place as a cursor.

    Args:
        place: The last one that is known.
        secret: What seals it, of the settings. A cursor opens nothing, as whose jobs are listed does not
            depend on it; so where tokens are checked by published keys alone, the empty one will do.
    """
    told = f"{(place.accepted_at - EPOCH) // timedelta(microseconds=1)} {place.id}".encode()
    return urlsafe_b64encode(_seal(told, secret) + told).decode()


def read_cursor(cursor: str, secret: str) -> Place:
    """Returns the place that a cursor stands for.

    Raises:
        Problem: 422 where it was not made by `write_cursor` with this secret.
    """
    try:
        sealed = urlsafe_b64decode(cursor)
    except ValueError:
        raise _invalid() from None
    seal, told = sealed[:SEAL], sealed[SEAL:]
    # Written anew, as base64 has several texts for the same bytes.
    if not hmac.compare_digest(seal, _seal(told, secret)) or urlsafe_b64encode(sealed) != cursor.encode():
        raise _invalid()
    # Where the secret is the empty one, anybody can make a seal.
    if (found := TOLD.fullmatch(told)) is None:
        raise _invalid()
    return Place(EPOCH + timedelta(microseconds=int(found[1])), found[2].decode())


def _seal(told: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"cursor " + told, hashlib.sha256)[:SEAL]


def _invalid() -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "cursor: it is not one of this list's: take nextCursor as it was answered, or leave it out",
        field="cursor",
    )
