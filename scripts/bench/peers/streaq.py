"""streaq: `streaq run bench.peers.streaq:worker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streaq import Worker

from bench import given, jobs

worker = Worker(redis_url=given.url(), queue_name=given.QUEUE, concurrency=given.concurrency())
tasks = {job.__name__: worker.task(job) for job in (jobs.noop, jobs.nap, jobs.stamp)}


class Producer:
    """Enqueues by streaq's tasks."""

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await tasks[job].enqueue(**arguments)

    async def enqueue_many(self, job: str, count: int) -> None:
        """Enqueue many jobs in one pipeline."""
        await worker.enqueue_many([tasks[job].enqueue() for _ in range(count)])


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    async with worker:
        yield Producer()
