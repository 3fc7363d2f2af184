"""Cursors of lists: a place in one list, sealed, so that one that was not made here is told at once."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

from mediaq.service.problems import Problem, invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time in microseconds since the epoch, and the entry that it is the time of.
TOLD = re.compile(r"([0-9]{1,17}) (.*)", re.DOTALL)
# Bytes of the seal.
SEAL = 9


def write_cursor(listed: str, at: datetime, entry: str, secret: str) -> str:
    """Returns a place in a list as a cursor.

    Args:
        listed: What the list is of; a cursor is good for no other list.
        at: The time of the last entry that is known.
        entry: Its id.
        secret: What seals it, of the settings. A cursor opens nothing, as whose entries are listed does not
            depend on it; so where tokens are checked by published keys alone, the empty one will do.
    """
    told = f"{(at - EPOCH) // timedelta(microseconds=1)} {entry}".encode()
    return urlsafe_b64encode(_seal(listed, told, secret) + told).decode()


def read_cursor(listed: str, cursor: str, secret: str, entries: re.Pattern[str]) -> tuple[datetime, str]:
    """Returns the place that a cursor stands for: the time of the last entry that is known, and its id.

    Args:
        listed: What the list is of.
        cursor: The cursor.
        secret: What seals it.
        entries: What ids look like; where the secret is the empty one, anybody can seal others.

    Raises:
        Problem: 422 where it was not made by `write_cursor` for this list with this secret.
    """
    try:
        sealed = urlsafe_b64decode(cursor)
    except ValueError:
        raise _not_ours() from None
    seal, told = sealed[:SEAL], sealed[SEAL:]
    # Written anew, as base64 has several texts for the same bytes.
    if (
        not hmac.compare_digest(seal, _seal(listed, told, secret))
        or urlsafe_b64encode(sealed) != cursor.encode()
    ):
        raise _not_ours()
    found = TOLD.fullmatch(told.decode(errors="replace"))
    if found is None or entries.fullmatch(found[2]) is None:
        raise _not_ours()
    return EPOCH + timedelta(microseconds=int(found[1])), found[2]


def _seal(listed: str, told: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), f"cursor {listed} ".encode() + told, hashlib.sha256)[:SEAL]


def _not_ours() -> Problem:
    return invalid(
        "cursor", "it is not one of this list's: take nextCursor as it was answered, or leave it out"
    )
