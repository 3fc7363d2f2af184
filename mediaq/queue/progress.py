"""A running job's progress in Redis: in RQ's `meta`, where its tools show it, and to whoever listens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from mediaq.queue import keys
from mediaq.queue.codec import PlainPickle
from mediaq.queue.scripts import load_script


def channel(job_id: str) -> str:
    """The channel that a job's progress is published to, as JSON."""
    return f"mediaq:progress:{job_id}"


async def tell(redis: Redis, news: Mapping[str, Mapping[str, Any]]) -> None:
    """Tells the listeners of jobs, by their ids, what their `meta` is, in one round trip; writes nothing."""
    async with redis.pipeline(transaction=False) as pipe:
        for job_id, meta in news.items():
            pipe.publish(channel(job_id), json.dumps(meta))
        await pipe.execute()


async def publish(redis: Redis, job_id: str, meta: Mapping[str, Any]) -> None:
    """Writes a job's `meta` and tells the listeners, in one round trip.

    A job that Redis has forgotten is not brought back.
    """
    write = load_script(redis, "meta")
    await write(
        keys=[keys.job(job_id)], args=[PlainPickle.dumps(dict(meta)), channel(job_id), json.dumps(meta)]
    )
