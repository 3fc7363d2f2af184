"""BullMQ for Python: `python -m bench.peers.bullmq` runs a worker; the library has no command line."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bullmq import Job, Queue, Worker

from bench import given, jobs

JOBS = {job.__name__: job for job in (jobs.noop, jobs.nap, jobs.stamp)}


class Producer:
    """Enqueues by BullMQ's queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def enqueue(self, job: str, **arguments: float) -> None:
        """Enqueue one job."""
        await self._queue.add(job, arguments)

    async def enqueue_many(self, job: str, count: int) -> None:
        """Enqueue many jobs in one transaction."""
        await self._queue.addBulk([{"name": job, "data": {}} for _ in range(count)])


@asynccontextmanager
async def open_producer() -> AsyncIterator[Producer]:
    """Connect and, in the end, disconnect."""
    queue = Queue(given.QUEUE, {"connection": given.url()})
    try:
        yield Producer(queue)
    finally:
        await queue.close()


async def process(job: Job, _token: str) -> int:
    """Run one job."""
    return await JOBS[job.name](**job.data)


async def work() -> None:
    """Work until SIGTERM."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    worker = Worker(given.QUEUE, process, {"connection": given.url(), "concurrency": given.concurrency()})
    await asked.wait()
    await worker.close()


if __name__ == "__main__":
    asyncio.run(work())
