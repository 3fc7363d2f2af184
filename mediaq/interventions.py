"""What users do to jobs: on record first, then in Redis, then told to whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby

from loguru import logger
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError

from mediaq.dispatch import push_all
from mediaq.model import Job, OpenJob
from mediaq.queue.progress import tell
from mediaq.resources import Resources
from mediaq.store import interventions
from mediaq.store.jobs import Wanted
from mediaq.store.writer import Row

# Jobs that are opened again at a time.
MOST = 1000


async def cancel(resources: Resources, job_id: str) -> tuple[Job, list[Row]] | None:
    """Gives a job up, wherever it stands; repeating it is safe.

    From its record on nothing is begun for it; what runs is told to stop, and a paid call under way is seen
    through to its record. Where Redis is away, a worker that gets the job all the same finds it closed.

    Returns:
        The job as it is from now on, and its cost rows; None where there is none. One that had ended before
        is as it was.

    Raises:
        CommitUnknown, OSError, asyncpg.PostgresError: As of `store.interventions.cancel`.
    """
    seconds = resources.settings.database.timeout
    found = await interventions.cancel(resources.store, job_id, seconds)
    if found is not None and found[0].cancelled:
        await _stop(resources, found[0])
        await announce(resources, [found[0]])
    return found


async def retry(resources: Resources, job_ids: Sequence[str]) -> list[OpenJob]:
    """Opens failed jobs again, with all their attempts, and pushes them.

    What cannot be pushed now the reconciler pushes: Redis is away, or has a worker that was told to stop an
    earlier run and has not ended it.

    Returns:
        Those that are open by this.

    Raises:
        CommitUnknown, OSError, asyncpg.PostgresError: As of `store.interventions.reopen`.
    """
    opened = await interventions.reopen(resources.store, job_ids, resources.settings.database.timeout)
    await _push_again(resources, opened)
    await announce(resources, opened)
    return opened


async def retry_failed(resources: Resources, wanted: Wanted) -> tuple[list[OpenJob], bool]:
    """Opens up to `MOST` wanted jobs again that failed and were not cancelled, as of `retry`.

    Returns:
        Those that are open by this, and whether there are more.
    """
    seconds = resources.settings.database.timeout
    failed = await interventions.find_failed(resources.store, wanted, most=MOST + 1, seconds=seconds)
    return await retry(resources, failed[:MOST]), len(failed) > MOST


async def announce(resources: Resources, jobs: Sequence[Job | OpenJob]) -> None:
    """Tells the listeners of jobs that these were closed or opened; each is on record so."""
    news = {job.id: {"progress": dict(job.progress)} for job in jobs}
    try:
        await tell(resources.redis, news)
    except RedisError as error:
        logger.warning("listeners were not told of {} jobs: {}", len(jobs), error)


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
