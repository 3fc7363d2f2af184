"""What workers run in the tests of faults, and a server that a test can kill and start again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chores import current
from redis import Redis
from rq.job import Job
from worker_kit import HERE, OUR_WORKER, options, until

from mediaq.embedded import ports, valkey
from mediaq.queue.options import Options

# Who has started what, in that order, and whose jobs may go on; for workers in the test's own process.
started: list[tuple[str, str]] = []
released: set[str] = set()
# Set when `end_before_hold` is at its end.
over = asyncio.Event()


def given(**changed: Any) -> Options:
    """Options of a worker that may run the tests' jobs."""
    return options(functions=("faulty.*", "chores.*"), **changed)


# A worker that finds dead ones soon.
KEEN = given(lease=0.4, beat=0.1)
# A worker whose heart beats once: soon it seems dead, though its jobs run on.
FAINT = given(lease=0.3, beat=1000)
# The settings of a worker in another process.
SETTINGS = {
    "MEDIAQ_WORKER__FUNCTIONS": '["faulty.*"]',
    "MEDIAQ_WORKER__DEFAULT_CONCURRENCY": "3",
    "MEDIAQ_WORKER__DEAD_AFTER": "1",
    "MEDIAQ_WORKER__BEAT": "0.3",
    "MEDIAQ_WORKER__GRACE": "0.5",
}
# Where a worker in another process says what it has started, and what its jobs wait for.
STARTED = "faulty:started"
GO = "faulty:go"


@contextmanager
def victim(redis_url: str, *queues: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs our worker in a process of its own while the block runs."""
    module = [sys.executable, "-m", "rq.cli"]
    variables = {**os.environ, **SETTINGS, "PYTHONPATH": f"{HERE}:{HERE.parent}", "RQ_REDIS_URL": redis_url}
    process = subprocess.Popen(
        [*module, *OUR_WORKER[1:], *queues],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def forget() -> None:
    started.clear()
    released.clear()


def note_start() -> str:
    job = current()
    name = str(job.worker_name)
    started.append((name, job.id))
    return name


async def wait_at_gate() -> str:
    """Waits until the worker it runs on is released."""
    name = note_start()
    while name not in released:  # noqa: ASYNC110 - looked at from several loops
        await asyncio.sleep(0.005)
    return name


async def rest(seconds: float) -> None:
    note_start()
    await asyncio.sleep(seconds)


async def hold_loop(seconds: float, rest: float = 0) -> None:
    """Holds the event loop, after a rest."""
    note_start()
    await asyncio.sleep(rest)
    time.sleep(seconds)  # noqa: ASYNC251 - that is the fault


async def end_before_hold() -> None:
    """Ends in the turn of the loop before `hold_after_end` holds it."""
    await asyncio.sleep(0.3)
    over.set()


async def hold_after_end(seconds: float) -> None:
    await over.wait()
    time.sleep(seconds)  # noqa: ASYNC251 - that is the fault


async def wait_for_word() -> None:
    """Waits until there is a key in Redis, where it also says that it has started."""
    job = current()
    job.connection.rpush(STARTED, job.id)
    while not job.connection.exists(GO):  # noqa: ASYNC110 - another process sets it
        await asyncio.sleep(0.01)


def started_by(name: str, count: int) -> list[str]:
    """Waits until a worker in the test's process has started so many jobs; their ids, sorted."""
    until(lambda: len([1 for by, _ in started if by == name]) >= count)
    return sorted(job for by, job in started if by == name)


def times_started(jobs: list[Job]) -> list[int]:
    return [sum(id_ == job.id for _, id_ in started) for job in jobs]


def started_elsewhere(redis: Redis) -> int:
    """How many jobs have started in other processes."""
    return int(redis.llen(STARTED))


def deaths(job: Job) -> int:
    found: Any = job.connection.hget(job.key, "mediaq_deaths")
    return int(found or 0)


def running_traces(redis: Redis) -> list[str]:
    """What stands in Redis for jobs that run, or seem to."""
    patterns = ("rq:execution:*", "rq:executions:*", "rq:wip:*", "rq:worker:*:executions", "mediaq:leases")
    return sorted(key.decode() for pattern in patterns for key in redis.scan_iter(pattern))


class Killable:
    """A server that keeps every write.

    Args:
        folder: For its data.
    """

    def __init__(self, folder: Path) -> None:
        port = ports.free_port()
        self.url = valkey.url(port=port, password="test")
        self._command = valkey.process(folder, port=port, password="test").command

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: asyncio.run(valkey.accepting(self.url)))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
