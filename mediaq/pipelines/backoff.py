"""How long a job waits before its next attempt."""

from __future__ import annotations

import random

from mediaq.settings import Queue


def delay_before(queue: Queue, attempt: int) -> int:
    """Returns the seconds before an attempt: delay x 2^(attempt - 2), lengthened at random by the jitter.

    Args:
        queue: The queue's first delay and jitter.
        attempt: The attempt that follows, 2 or more.
    """
    delay: float = queue.backoff * 2 ** (attempt - 2)
    return round(delay * (1 + queue.jitter * random.random()))  # noqa: S311 - spreads load, keeps no secret
