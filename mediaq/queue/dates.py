"""Times as RQ writes them."""

from __future__ import annotations

from datetime import datetime


def written(moment: datetime) -> str:
    """Returns a time in UTC as RQ writes it into hashes: to the microsecond, with a Z."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
