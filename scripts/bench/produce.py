"""`python -m bench.produce PEER ACTION …`: one producer; runs in the peer's environment.

Actions: `fill JOB COUNT` as fast as it can; `time MODE SECONDS`, which prints how many jobs took how long as
JSON; `probe COUNT INTERVAL`, which enqueues jobs one by one that record when they start.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module

from bench.producers import BatchProducer, OpenProducer, Producer

BATCH = 500
COROUTINES = 50
WARM_UP = 20


async def fill(producer: Producer | BatchProducer, job: str, count: str) -> None:
    """Enqueue exactly `count` jobs."""
    total = int(count)
    if hasattr(producer, "enqueue_many"):
        for start in range(0, total, BATCH):
            await producer.enqueue_many(job, min(BATCH, total - start))
        return
    numbers = iter(range(total))

    async def enqueue_some() -> None:
        for _ in numbers:
            await producer.enqueue(job)

    await asyncio.gather(*(enqueue_some() for _ in range(COROUTINES)))


async def time_single(producer: Producer, deadline: float) -> int:
    """Enqueue one job after the other until the deadline; return how many."""
    done = 0
    while time.perf_counter() < deadline:
        await producer.enqueue("noop")
        done += 1
    return done


async def time_gathered(producer: Producer, deadline: float) -> int:
    """Enqueue from many coroutines, each one job after the other."""
    return sum(await asyncio.gather(*(time_single(producer, deadline) for _ in range(COROUTINES))))


async def time_batch(producer: BatchProducer, deadline: float) -> int:
    """Enqueue batch after batch."""
    done = 0
    while time.perf_counter() < deadline:
        await producer.enqueue_many("noop", BATCH)
        done += BATCH
    return done


MODES = {"single": time_single, "gathered": time_gathered, "batch": time_batch}


async def measure(producer: Producer | BatchProducer, mode: str, seconds: str) -> None:
    """Print how many jobs were enqueued in how many seconds."""
    for _ in range(WARM_UP):
        await producer.enqueue("noop")
    began = time.perf_counter()
    run: Callable[..., Awaitable[int]] = MODES[mode]
    jobs = await run(producer, began + float(seconds))
    print(json.dumps({"jobs": jobs, "seconds": time.perf_counter() - began}))


async def probe(producer: Producer, count: str, interval: str) -> None:
    """Enqueue jobs at a steady pace; each is told when, right before it is enqueued."""
    for _ in range(int(count)):
        await asyncio.sleep(float(interval))
        await producer.enqueue("stamp", sent=time.monotonic())


ACTIONS: dict[str, Callable[..., Awaitable[None]]] = {"fill": fill, "time": measure, "probe": probe}


async def main(peer: str, action: str, *arguments: str) -> None:
    """Run one action of one peer."""
    open_producer: OpenProducer = import_module(f"bench.peers.{peer}").open_producer
    async with open_producer() as producer:
        await ACTIONS[action](producer, *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
