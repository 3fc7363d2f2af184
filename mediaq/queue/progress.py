"""A running job's progress in Redis: in RQ's `meta`, where its tools show it, and to whoever listens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from mediaq.queue import keys
from mediaq.queue.codec import PlainPickle


def channel(job_id: str) -> str:
    """The channel that a job's progress is published to, as JSON."""
    return f"mediaq:progress:{job_id}"


async def publish(redis: Redis, job_id: str, meta: Mapping[str, Any]) -> None:
    """Writes a job's `meta` and tells the listeners, in one round trip.

    A job that Redis has forgotten is not brought back.
    """
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hexists(keys.job(job_id), "status")
        pipe.publish(channel(job_id), json.dumps(meta))
        known, _ = await pipe.execute()
    if known:
        await redis.hset(keys.job(job_id), "meta", PlainPickle.dumps(dict(meta)))
