"""Fixtures: a stock RQ queue of chores, and a shell for RQ's commands; they build on queue_fixtures."""

from collections.abc import Iterator
from pathlib import Path

import chores
import pytest
from redis import Redis
from rq import Queue
from worker_kit import NAME, Shell


@pytest.fixture
def stock(sync: Redis) -> Iterator[Queue]:
    """The queue; what jobs note, and where they are held, is the test's own."""
    chores.forget()
    yield Queue(NAME, connection=sync)
    chores.release()


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(tmp_path, redis_url)
