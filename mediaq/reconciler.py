"""Compares open jobs with Redis, and pushes or closes what the two do not agree on: accepted is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby

from attrs import frozen
from loguru import logger

from mediaq.dispatch import push
from mediaq.model import Job, JobStatus
from mediaq.queue.queue import Seen
from mediaq.resources import Resources
from mediaq.settings import Settings
from mediaq.store import jobs, leases


@frozen
class Leave:
    """Redis and Postgres agree, or someone is at work."""


@frozen
class Push:
    """The job is to be pushed again.

    Args:
        death: Whether that is for a worker that died, or failed, before it started the job.
    """

    death: bool = False


@frozen
class Close:
    """The job is to be closed as failed, for this reason."""

    reason: str


async def reconcile(resources: Resources, owner: str) -> None:
    """Compares a batch of the open jobs that no living worker holds; one process at a time does so.

    Args:
        resources: Store, queues and settings.
        owner: A name for this process.

    Raises:
        RedisError, OSError, asyncpg.PostgresError: A server is away; call again later.
    """
    upkeep = resources.settings.upkeep
    if not await leases.hold(resources.store, "reconciler", owner, seconds=upkeep.interval * 3):
        return
    # A Redis that is away must not make the batch look compared.
    await resources.redis.ping()
    open_jobs = await jobs.take_open(resources.store, tuple(resources.queues), upkeep.batch)
    for queue, batch in groupby(sorted(open_jobs, key=lambda job: job.type), key=lambda job: job.type):
        await _reconcile_queue(resources, queue, list(batch))


async def _reconcile_queue(resources: Resources, queue: str, batch: list[Job]) -> None:
    now = datetime.now(UTC)
    for job, seen in zip(batch, await resources.queues[queue].look([job.id for job in batch]), strict=True):
        match decide(job, seen, resources.settings, now):
            case Push(death):
                if death:
                    await jobs.count_death(resources.store, job)
                if await push(resources, job):
                    logger.warning("job {} is pushed again: Redis had it as {}", job.id, seen.status)
            case Close(reason):
                if await jobs.close(resources.store, job, reason):
                    logger.warning("job {} is closed: {}", job.id, reason)


def decide(job: Job, seen: Seen, settings: Settings, now: datetime) -> Leave | Push | Close:
    """Decides what becomes of an open job that no living worker holds.

    Args:
        job: The job on record.
        seen: What Redis knows of it.
        settings: The poison limit, and how long a job may be queued in no list.
        now: The time.
    """
    if seen.status in ("stopped", "canceled"):
        return Close("stopped" if seen.status == "stopped" else "cancelled")
    if job.due_at is not None and job.due_at > now:
        return Leave()
    match seen.status:
        case None | "finished":
            # A finished job finds its results on record.
            return Push()
        case "queued" | "scheduled":
            return Push() if _is_lost(seen, settings, now) else Leave()
        case "started":
            return Leave() if seen.running else _after_death(job, "no sign of life", settings)
        case "failed":
            # Ours close a job before RQ fails it: this worker died, was cut off, or could not start it.
            return _after_death(job, seen.error or "no reason on record", settings)
        case _:
            return Leave()


def _is_lost(seen: Seen, settings: Settings, now: datetime) -> bool:
    patience = timedelta(seconds=settings.upkeep.lost_after)
    return not seen.listed and (seen.enqueued_at is None or now - seen.enqueued_at > patience)


def _after_death(job: Job, error: str, settings: Settings) -> Push | Close:
    if job.deaths >= settings.worker.deaths:
        workers = job.deaths + 1
        return Close(f"gave up after {workers} workers died or could not start it; the last one: {error}")
    # The next start counts the death of a worker that had started it.
    return Push(death=job.status is not JobStatus.ACTIVE)
