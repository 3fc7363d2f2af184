"""How long a job waits before each of its retries."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import field, frozen
from attrs.validators import ge, le, optional

FACTOR = 2
# Seconds in a year: RQ adds a wait to the date of today, and Python's dates end with the year 9999.
LONGEST = 365 * 86400


@frozen
class Backoff:
    """Waits that double: first x 2^(n-1) seconds before the nth retry.

    RQ schedules by the whole second. A wait is rounded to the nearest one, but never to 0, which is how RQ
    spells a retry at once; only a wait of 0 is 0.

    Args:
        first: Seconds before the first retry; 0: every retry comes at once.
        ceiling: Seconds at which waits stop doubling; None: a year.
        jitter: The share, 0 to 1, by which each wait is lengthened at random, those at the ceiling too, so
            that jobs that failed together do not return together.

    Raises:
        ValueError: An argument is out of its bounds.
    """

    first: float = field(validator=[ge(0), le(LONGEST)])
    ceiling: float | None = field(default=None, validator=optional(ge(0)))
    jitter: float = field(default=0.0, validator=[ge(0), le(1)])

    def intervals(self, retries: int, random: Callable[[], float] = random.random) -> list[int]:
        """Returns the whole seconds before each retry, for RQ's `Retry(max=retries, interval=...)`.

        RQ counts from the end of its list by the retries that are left, so a job's list has to keep an entry
        for each retry that the job ever had.

        Args:
            retries: How many retries the job has in all.
            random: Returns a number from 0 to 1.
        """
        ceiling = min(LONGEST, LONGEST if self.ceiling is None else self.ceiling)
        waits, wait = [], min(self.first, ceiling)
        for _ in range(retries):
            waits.append(_whole(wait * (1 + self.jitter * random())))
            wait = min(wait * FACTOR, ceiling)
        return waits


def _whole(seconds: float) -> int:
    return max(round(seconds), 1) if seconds else 0
