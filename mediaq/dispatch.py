"""Puts a job that is on record into its queue; what the service does first, the reconciler may do again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import repeat

from loguru import logger

from mediaq.model import Job, OpenJob
from mediaq.pipelines.catalog import PIPELINES
from mediaq.queue.backoff import Backoff
from mediaq.queue.queue import QueuedJob
from mediaq.queue.seen import ABSENT, Seen
from mediaq.resources import Resources


async def push(resources: Resources, job: Job | OpenJob, seen: Seen = ABSENT) -> bool:
    """Pushes a job if it stands in Redis as it was seen; repeating it is safe.

    Args:
        resources: Queues and settings.
        job: The job.
        seen: How it stands in Redis; by default not at all.

    Returns:
        Whether it was pushed now.

    Raises:
        RedisError: Redis is away, or refuses.
    """
    with resources.telemetry.tracer.span(f"push {job.type}", "producer", mediaq_job_id=job.id):
        return await resources.queues[job.type].push(describe(resources, job), seen)


async def push_all(resources: Resources, jobs: Sequence[Job | OpenJob], seen: Sequence[Seen] = ()) -> None:
    """Pushes jobs that are on record in one go; what cannot be pushed is left to the reconciler.

    Args:
        resources: Queues and settings.
        jobs: The jobs.
        seen: How they stand in Redis, one for each; by default not at all.
    """
    standing = seen or [ABSENT] * len(jobs)
    pushed = await asyncio.gather(*map(push, repeat(resources), jobs, standing), return_exceptions=True)
    failed = [
        (job.id, error) for job, error in zip(jobs, pushed, strict=True) if isinstance(error, BaseException)
    ]
    if failed:
        first, why = failed[0]
        logger.warning("{} jobs on record will be pushed later, {} first: {}", len(failed), first, why)


def describe(resources: Resources, job: Job | OpenJob) -> QueuedJob:
    """Returns the job as RQ sees it, with as many retries as attempts are left after the next."""
    queue = resources.settings.queues.named(job.type)
    pipeline = PIPELINES[job.type]
    backoff = Backoff(queue.backoff, queue.backoff_ceiling, queue.jitter)
    return QueuedJob(
        id=job.id,
        function=pipeline.task,
        args=(job.id,),
        description=pipeline.description,
        timeout=queue.timeout,
        result_ttl=queue.keep_completed,
        failure_ttl=queue.keep_failed,
        retries_left=max(job.max_attempts - job.attempts - 1, 0),
        retry_intervals=tuple(backoff.intervals(job.max_attempts - 1)),
        # Beside the job, so that its attempts go on with the trace of whoever pushed it.
        meta={"progress": dict(job.progress), **resources.telemetry.tracer.carried()},
        share=job.user_id,
        opening=job.opening,
    )
