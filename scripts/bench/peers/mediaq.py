"""mediaq: `python -m bench.peers.mediaq` runs an `AsyncWorker` with its default settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
import redis.asyncio

from bench import given
from mediaq.queue.options import Options
from mediaq.queue.queue import Queue
from mediaq.queue.worker import AsyncWorker


class Producer:
    """Enqueues by mediaq's queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await self._queue.enqueue(f"bench.jobs.{job}", **arguments)

    async def enqueue_many(self, job: str, count: int) -> None:
        """Enqueue many jobs in few round trips."""
        await self._queue.enqueue_many([self._queue.prepare(f"bench.jobs.{job}") for _ in range(count)])


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    async with redis.asyncio.Redis.from_url(given.url()) as client:
        yield Producer(Queue(given.QUEUE, client))


def work() -> None:
    """Work until SIGTERM."""
    options = Options(functions=("bench.jobs.*",), default_concurrency=given.concurrency())
    worker = AsyncWorker([given.QUEUE], connection=redis.Redis.from_url(given.url()), options=options)
    worker.work(logging_level="INFO")


if __name__ == "__main__":
    work()
