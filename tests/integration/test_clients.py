"""A client of Redis in tasks that may be cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio import Redis

from mediaq.queue.events import announce
from mediaq.resources import open_redis
from mediaq.settings import Redis as Where
from mediaq.settings import Settings

Use = Callable[[Redis], Awaitable[object]]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(Settings(redis=Where(url=redis_url))) as client:
        yield client


@pytest.mark.parametrize(
    "use",
    [
        lambda redis: redis.get("a key"),
        lambda redis: redis.set("a key", "a value", ex=60),
        lambda redis: announce(redis, "job-1", [("progress", "{}")], queue="q", meta={"progress": {}}),
    ],
)
async def test_a_task_that_uses_redis_can_be_cancelled_at_any_moment(redis: Redis, use: Use) -> None:
    await use(redis)
    for steps in range(100):
        over = asyncio.Event()
        task = asyncio.create_task(use_until(over, lambda: use(redis)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        # One that has lost it would go on for ever.
        done, _ = await asyncio.wait({task}, timeout=2)
        over.set()
        assert done
        assert task.cancelled()


async def use_until(over: asyncio.Event, use: Callable[[], Awaitable[object]]) -> None:
    while not over.is_set():
        await use()
