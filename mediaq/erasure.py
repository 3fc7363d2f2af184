"""Clears up after deleted jobs where Postgres does not: in Redis and in S3, however long these are away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from loguru import logger
from redis.exceptions import RedisError

from mediaq.aws import objects
from mediaq.errors import ProviderError, reason_of
from mediaq.pipelines.catalog import PIPELINES
from mediaq.resources import Resources
from mediaq.store import erasures
from mediaq.store.erasures import Erasure

# Jobs that are cleared up after at once: each takes a few requests.
AT_ONCE = 20


async def clear_due(resources: Resources) -> None:
    """Clears up after the jobs that are due; what cannot be done now is due again later.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away.
    """
    while batch := await erasures.claim(resources.store, AT_ONCE):
        await clear(resources, batch)


async def clear(resources: Resources, erased: Sequence[Erasure]) -> int:
    """Clears up after some jobs.

    Returns:
        After how many it is not over: a server was away, or they, or the provider for them, may still write.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away.
    """
    cleared = await asyncio.gather(*(_clear_one(resources, erasure) for erasure in erased))
    done = [erasure for erasure, is_clear in zip(erased, cleared, strict=True) if is_clear]
    return len(erased) - await erasures.end(resources.store, done)


async def _clear_one(resources: Resources, erasure: Erasure) -> bool:
    pipeline = PIPELINES.get(erasure.type)
    if pipeline is None:
        logger.error("job {} is of no known type: {}", erasure.job_id, erasure.type)
        return False
    try:
        # First, as it stops what runs.
        gone = await resources.queues[pipeline.queue].remove(erasure.job_id)
        for prefix in pipeline.objects(resources.settings, erasure.job_id):
            await objects.delete_all(resources.tools.aws, resources.settings.aws.bucket, prefix)
    except (RedisError, OSError, ProviderError) as error:
        reason = reason_of(error)
        logger.warning("what deleted job {} left is deleted later: {}", erasure.job_id, reason)
        return False
    return gone
