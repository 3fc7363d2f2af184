"""arq: `arq bench.peers.arq.WorkerSettings`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import ArqRedis, create_pool
from arq.connections import RedisSettings

from bench import context_jobs, given


class WorkerSettings:
    """What arq's command line reads."""

    functions = (context_jobs.noop, context_jobs.nap, context_jobs.stamp)
    redis_settings = RedisSettings.from_dsn(given.url())
    max_jobs = given.concurrency()


class Producer:
    """Enqueues by arq's pool."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await self._pool.enqueue_job(job, **arguments)


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    pool = await create_pool(WorkerSettings.redis_settings)
    try:
        yield Producer(pool)
    finally:
        await pool.aclose()
