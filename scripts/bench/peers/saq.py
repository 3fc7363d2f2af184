"""saq: `saq bench.peers.saq.settings`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from saq import Queue

from bench import context_jobs, given

queue = Queue.from_url(given.url(), name=given.QUEUE)
settings = {
    "queue": queue,
    "functions": [context_jobs.noop, context_jobs.nap, context_jobs.stamp],
    "concurrency": given.concurrency(),
}


class Producer:
    """Enqueues by saq's queue."""

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await queue.enqueue(job, **arguments)


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    await queue.connect()
    try:
        yield Producer()
    finally:
        await queue.disconnect()
