"""RQ: plain functions, one at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue

from bench import given


class Producer:
    """Enqueues by RQ's own queue, which blocks."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        self._queue.enqueue(f"bench.plain_jobs.{job}", **arguments)

    async def enqueue_many(self, job: str, count: int) -> None:
        """Enqueue many jobs in one pipeline."""
        self._queue.enqueue_many([Queue.prepare_data(f"bench.plain_jobs.{job}") for _ in range(count)])


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    with Redis.from_url(given.url()) as redis:
        yield Producer(Queue(given.QUEUE, connection=redis))
