"""How long a queue's jobs have waited, without reading its list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from mediaq.queue import keys

Call = Callable[..., Any]


async def find_age(call: Call, queue: str) -> float:
    """Returns the seconds since the older of the two jobs at a list's ends was put in; 0 where it is empty.

    Workers take from the left end. Where those who share a queue are served in turns, the oldest job may be
    the last one on the right.

    Args:
        call: Sends a command.
        queue: The queue's name.

    Raises:
        redis.RedisError: Redis is away.
    """
    ends = [call("LINDEX", keys.queue(queue), index) for index in (0, -1)]
    ids = {job_id.decode(errors="replace") for end in ends if (job_id := await end) is not None}
    times = [call("HGET", keys.job(job_id), "enqueued_at") for job_id in ids]
    return max([0.0, *[await _since(answer) for answer in times]])


async def _since(answer: Any) -> float:
    # Anybody may have written it, or a key of another type in its place.
    with suppress(ResponseError, ValueError, AttributeError):
        enqueued = datetime.fromisoformat((await answer).decode(errors="replace"))
        return (datetime.now(UTC) - enqueued.replace(tzinfo=enqueued.tzinfo or UTC)).total_seconds()
    return 0.0
