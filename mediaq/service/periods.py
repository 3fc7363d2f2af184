"""Times that queries give: dates or times of ISO 8601, in UTC where they say nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mediaq.service.problems import invalid

# A date alone, or with a time; `fromisoformat` takes more, such as weeks, which are easily misread.
ISO = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?)?")

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def read_period(since: str | None, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Returns a time from its first moment up to, and without, its last one.

    Args:
        since: When it begins; None: with the month (UTC) in which it ends.
        until: When it ends; None: now.
        now: The time.

    Raises:
        Problem: 422, with `from` or `to` as `field`.
    """
    end = now if until is None else _read("to", until)
    begin = _month_of(end) if since is None else _read("from", since)
    if begin > end:
        raise invalid("from", f"it is after to: {begin.isoformat()} is later than {end.isoformat()}")
    return begin, end


def _read(field: str, text: str) -> datetime:
    time = _parse(text) if ISO.fullmatch(text) else None
    if time is None or time < EARLIEST:
        detail = (
            f"{text!r} is no date or time of ISO 8601 since 1970, such as 2026-11-01 or 2026-11-01T12:00:00Z"
        )
        raise invalid(field, detail)
    return time


def _parse(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.upper())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _month_of(end: datetime) -> datetime:
    last = end - timedelta(microseconds=1)
    return last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
