"""Times that queries give: dates or times of ISO 8601, or milliseconds since the epoch, as in answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from mediaq.service.cursor import EPOCH
from mediaq.service.problems import invalid

# A date alone, or with a time; `fromisoformat` takes more, such as weeks, which are easily misread.
ISO = r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?)?"
# Until the year 5138.
MILLIS = r"[0-9]{1,14}"
# It is read further on, where what is wrong is told better than by a pattern.
Moment = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        examples=["2026-11-01", "2026-11-01T12:00:00Z", "1793491200000"],
        extra_json_schema={"pattern": f"^({ISO}|{MILLIS})$"},
    ),
]


def read_period(since: str | None, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Returns a time from its first moment up to, and without, its last one.

    Args:
        since: When it begins; None: with the month (UTC) in which it ends.
        until: When it ends; None: now.
        now: The time.

    Raises:
        Problem: 422, with `from` or `to` as `field`.
    """
    end = now if until is None else read_moment("to", until)
    begin = _month_of(end) if since is None else read_moment("from", since)
    if begin > end:
        raise invalid("from", f"it is after to: {begin.isoformat()} is later than {end.isoformat()}")
    return begin, end


def read_moment(field: str, text: str) -> datetime:
    """Returns the time that a text stands for; in UTC where it says nothing else.

    Args:
        field: The query's name of it.
        text: A date or time of ISO 8601, or milliseconds since the epoch.

    Raises:
        Problem: 422, with the field.
    """
    time = _parse(text)
    if time is None:
        detail = (
            f"{text!r} is no date or time of ISO 8601 since 1970, such as 2026-11-01 or 2026-11-01T12:00:00Z,"
            " and no number of milliseconds since then"
        )
        raise invalid(field, detail)
    return time


def _parse(text: str) -> datetime | None:
    if re.fullmatch(MILLIS, text):
        # Answers round to the nearest millisecond: what they show as this one counts as not before it.
        return max(EPOCH, EPOCH + timedelta(milliseconds=int(text), microseconds=-500))
    time = _parse_iso(text) if re.fullmatch(ISO, text) else None
    return None if time is None or time < EPOCH else time


def _parse_iso(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.upper())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _month_of(end: datetime) -> datetime:
    last = end - timedelta(microseconds=1)
    return last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
