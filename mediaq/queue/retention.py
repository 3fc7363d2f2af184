"""Keeps Redis from filling with finished jobs: by age, as RQ does, and by count."""

from __future__ import annotations

from datetime import UTC, datetime

from redis.asyncio import Redis

from mediaq.queue import keys
from mediaq.queue.scripts import load_script

# Entries of each set that one call of trim.lua looks at, and jobs that it forgets, at most, to keep Redis
# responsive.
BATCH = 200
# Such calls in one pass at most, so that its caller may stop.
MOST_CALLS = 50


async def trim(redis: Redis, queue: str, keep: int | None) -> int:
    """Forgets a queue's finished jobs beyond the newest `keep`, with all their keys, whoever finished them.

    Entries of finished and failed jobs that have expired go too, as when RQ cleans its registries up, and
    those of cancelled jobs that are gone.

    A pass looks at `BATCH` entries of each set in one round trip, and at up to `MOST_CALLS` times as many if
    there are too many. The next pass goes on from there, whoever makes it, so that n / `BATCH` passes look at
    all of n jobs.

    Args:
        redis: An asyncio client.
        queue: The queue's name.
        keep: How many finished jobs stay; None: all, until their time to live ends.

    Returns:
        How many were forgotten because of the limit.

    Raises:
        redis.RedisError: Redis is away; call again later.
    """
    script = load_script(redis, "evict", "trim")
    sets = [each(queue) for each in (keys.finished, keys.failed, keys.ended, keys.trimmed, keys.canceled)]
    limit = "" if keep is None else keep
    forgotten = 0
    for _ in range(MOST_CALLS):
        now = datetime.now(UTC).timestamp()
        went, more = await script(keys=sets, args=[keys.RQ, keys.OURS, queue, now, BATCH, limit])
        forgotten += went
        if not more:
            break
    return forgotten
