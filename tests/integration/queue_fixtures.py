"""Fixtures: one queue on a real server, as mediaq and as stock RQ see it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from queue_kit import NAME
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue

from mediaq.queue.clients import Heedful
from mediaq.queue.queue import Queue


@pytest.fixture
def sync(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    async with Heedful.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(redis: AsyncRedis) -> Queue:
    return Queue(NAME, redis)


@pytest.fixture
def rq(sync: Redis) -> RQQueue:
    return RQQueue(NAME, connection=sync)
