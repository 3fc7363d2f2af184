"""Fixtures: a stock RQ queue of chores on a real server."""

from collections.abc import Iterator

import chores
import pytest
from redis import Redis
from rq import Queue
from worker_kit import NAME


@pytest.fixture
def sync(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(sync: Redis) -> Queue:
    return Queue(NAME, connection=sync)


@pytest.fixture(autouse=True)
def fresh_chores() -> Iterator[None]:
    """What chores hold and note is a test's own."""
    chores.forget()
    yield
    chores.release()
