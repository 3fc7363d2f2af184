"""taskiq on a Redis stream, with results: `taskiq worker bench.peers.taskiq:broker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench import given, jobs

# Results in a database of their own can be counted while jobs run.
RESULTS_DATABASE = 1

results = RedisAsyncResultBackend(f"{given.url().rpartition('/')[0]}/{RESULTS_DATABASE}")
broker = RedisStreamBroker(given.url(), queue_name=given.QUEUE).with_result_backend(results)
tasks = {job.__name__: broker.task(job.__name__)(job) for job in (jobs.noop, jobs.nap, jobs.stamp)}


class Producer:
    """Enqueues by taskiq's tasks."""

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await tasks[job].kiq(**arguments)


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    await broker.startup()
    try:
        yield Producer()
    finally:
        await broker.shutdown()
