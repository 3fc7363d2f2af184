"""Tells whoever listens what has become of a job: the one way in which every change is announced."""

from __future__ import annotations

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mediaq.model import Announcement, JobEvent
from mediaq.queue import events


async def announce(redis: Redis, told: Announcement) -> None:
    """Tells of a job, in Redis, after what is told is on record; Redis may be away.

    The end of a job is told without its results: listeners read them on record, where they find, a moment
    later, every end that was not told.

    Args:
        redis: A client.
        told: The job, and what has become of it.
    """
    job, progress = told.job, told.progress
    parts: list[tuple[str, bytes]] = []
    if progress is not None:
        parts.append(
            (JobEvent.PROGRESS, msgspec.json.encode({"id": job.id, "jobType": job.type, **progress}))
        )
    if told.event is not JobEvent.PROGRESS:
        parts.append((told.event, b""))
    meta = None if progress is None else {"progress": dict(progress)}
    try:
        await events.announce(redis, job.id, parts, queue=job.type, share=job.user_id, meta=meta)
    except RedisError as error:
        logger.warning("job {} is {}, which cannot be told now: {}", job.id, told.event, error)
