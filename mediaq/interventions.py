"""What users do to jobs: on record first, then in Redis, then told to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby

import attrs
from attrs import frozen
from loguru import logger
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError

from mediaq.announcements import announce_all
from mediaq.dispatch import push_all
from mediaq.model import Announcement, Job, JobEvent, OpenJob
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.terms import set_terms
from mediaq.resources import Resources
from mediaq.settings import Settings
from mediaq.store import interventions
from mediaq.store.admission import Refusal
from mediaq.store.interventions import Failed
from mediaq.store.jobs import Record, Wanted

# Jobs that are opened again at a time.
MOST = 1000


@frozen
class Retried:
    """What became of failed jobs that were to be run again.

    Args:
        opened: Those that are open by this.
        refused: Why others are not for which there was no room, by id.
        more: Whether there are further ones.
    """

    opened: list[Job]
    refused: Mapping[str, Refusal]
    more: bool


async def cancel(resources: Resources, job_id: str) -> Record | None:
    """Gives a job up, wherever it stands; repeating it is safe.

    From its record on nothing is begun for it; what runs is told to stop, and a paid call under way is seen
    through to its record. Where Redis is away, a worker that gets the job all the same finds it closed.

    Returns:
        The job as it is from now on; None where there is none. One that had ended before is as it was.

    Raises:
        CommitUnknown, OSError, asyncpg.PostgresError: As of `store.interventions.cancel`.
    """
    seconds = resources.settings.database.timeout
    found = await interventions.cancel(resources.store, job_id, seconds)
    if found is not None and found.job.cancelled:
        await _stop(resources, found.job)
        await announce_all(resources.redis, [Announcement(found.job, JobEvent.FAILED, found.job.progress)])
    return found


async def retry(resources: Resources, job_ids: Sequence[str]) -> tuple[list[Job], Mapping[str, Refusal]]:
    """Opens failed jobs again where there is room, with all their attempts, and pushes them.

    What cannot be pushed now the reconciler pushes: Redis is away, or has a worker that was told to stop an
    earlier run and has not ended it.

    Returns:
        Those that are open by this, as they were but for status and terms, and why others are not for which
        there is no room, by id.

    Raises:
        CommitUnknown, OSError, asyncpg.PostgresError: As of `store.interventions.reopen`.
    """
    store, settings = resources.store, resources.settings
    seconds = settings.database.timeout
    failed = await interventions.read_failed(store, job_ids, seconds)
    # Of many jobs, or of long texts, it would hold the loop.
    asked = await asyncio.to_thread(lambda: {each.job.id: _with_new_terms(settings, each) for each in failed})
    opened, refused = await interventions.reopen(store, asked, seconds, settings.service.open_jobs)
    # Before anyone can tell of the next run.
    news = [Announcement(job, JobEvent.PROGRESS, job.progress) for job in opened]
    await announce_all(resources.redis, news)
    await _push_again(resources, opened)
    return [attrs.evolve(asked[job.id], status=job.status) for job in opened], refused


async def retry_failed(resources: Resources, wanted: Wanted) -> Retried:
    """Opens up to `MOST` wanted jobs again that failed and were not cancelled, as of `retry`."""
    seconds = resources.settings.database.timeout
    failed = await interventions.find_failed(resources.store, wanted, most=MOST + 1, seconds=seconds)
    opened, refused = await retry(resources, failed[:MOST])
    return Retried(opened, refused, more=len(failed) > MOST)


def _with_new_terms(settings: Settings, failed: Failed) -> Job:
    job = failed.job
    terms = set_terms(settings, PIPELINES[job.type], job.request, job.user_id, failed.done)
    return attrs.evolve(job, **attrs.asdict(terms))


async def _stop(resources: Resources, job: Job) -> None:
    stays = resources.settings.queues.named(job.type).keep_failed
    try:
        with suppress(NoSuchJobError):
            await resources.queues[job.type].cancel(job.id, stays=stays, opening=job.opening)
    except RedisError as error:
        logger.warning("job {} is cancelled on record, and not in Redis: {}", job.id, error)


async def _push_again(resources: Resources, opened: Sequence[OpenJob]) -> None:
    for job_type, group in groupby(sorted(opened, key=_type_of), key=_type_of):
        jobs = list(group)
        try:
            seen = await resources.queues[job_type].look([job.id for job in jobs])
        except RedisError as error:
            logger.warning("{} jobs are open again and will be pushed later: {}", len(jobs), error)
        else:
            await push_all(resources, jobs, seen)


def _type_of(job: OpenJob) -> str:
    return job.type
