"""Tells whoever listens what has become of a job: the one way in which every change is announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mediaq.model import Announcement, JobEvent
from mediaq.queue import events


async def announce(redis: Redis, told: Announcement, carried: Mapping[str, str] | None = None) -> None:
    """Tells of a job, in Redis, after what is told is on record; Redis may be away.

    The end of a job is told without its results: listeners read them on record, where they find, a moment
    later, every end that was not told.

    Args:
        redis: A client.
        told: The job, and what has become of it.
        carried: What else RQ's `meta` of the job has, and keeps.
    """
    job, progress = told.job, told.progress
    meta = None if progress is None else {"progress": dict(progress), **(carried or {})}
    try:
        await events.announce(redis, job.id, _events(told), queue=job.type, share=job.user_id, meta=meta)
    except RedisError as error:
        logger.warning("job {} is {}, which cannot be told now: {}", job.id, told.event, error)


async def announce_all(redis: Redis, announcements: Sequence[Announcement]) -> None:
    """Tells of many jobs, as of `announce`, and leaves what RQ shows of them to those who run them."""
    told = [
        (each.job.id, each.job.type, each.job.user_id, *event)
        for each in announcements
        for event in _events(each)
    ]
    try:
        await events.announce_all(redis, told)
    except RedisError as error:
        logger.warning("what became of {} jobs cannot be told now: {}", len(announcements), error)


def _events(told: Announcement) -> list[tuple[str, bytes]]:
    job, progress = told.job, told.progress
    parts: list[tuple[str, bytes]] = []
    if progress is not None:
        data = msgspec.json.encode({"id": job.id, "jobType": job.type, **progress})
        parts.append((JobEvent.PROGRESS, data))
    if told.event is not JobEvent.PROGRESS:
        parts.append((told.event, b""))
    return parts
