"""AsyncWorkers for tests: in a thread of the test's own process, or run by RQ's command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import chores
from attrs import frozen
from processes import kill_family
from redis import Redis
from redis.sentinel import SentinelConnectionPool
from rq import Queue
from rq.connections import get_connection_kwargs
from rq.job import Job

from mediaq.queue.options import Options
from mediaq.queue.worker import AsyncWorker

NAME = "chores"
OUR_WORKER = ("rq", "worker", "-w", "mediaq.AsyncWorker")
HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
# A worker that notices soon, and that does not wait long for what a test left behind.
OPTIONS = Options(functions=("chores.*",), grace=0.5, lease=3, beat=0.25)

T = TypeVar("T")


def options(**changed: Any) -> Options:
    return attrs.evolve(OPTIONS, **changed)


def slots(count: int, **changed: Any) -> Options:
    """Options of a worker that runs so many jobs of a queue at once."""
    return options(default_concurrency=count, **changed)


def like(redis: Redis) -> Redis:
    """A client of its own of the same server."""
    pool = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        master: Redis = pool.sentinel_manager.master_for(pool.service_name)
        return master
    return Redis.from_pool(type(pool)(connection_class=pool.connection_class, **get_connection_kwargs(redis)))


def make_worker(redis: Redis, *queues: str, given: Options = OPTIONS, **arguments: Any) -> AsyncWorker:
    return AsyncWorker(queues or (NAME,), connection=like(redis), options=given, **arguments)


@contextmanager
def at_work(worker: AsyncWorker, *, release: bool = True, **how: Any) -> Iterator[AsyncWorker]:
    """Has a worker work in a thread while the block runs, then stops it; what it raised is raised.

    Args:
        worker: The worker.
        release: Whether to let go what is held, so that the worker has nothing to cut short.
        how: What the worker is told.
    """
    thread = Working(worker, how)
    thread.start()
    try:
        yield worker
    finally:
        if release:
            chores.release()
        worker.request_stop()
        thread.result()


def work(worker: AsyncWorker, **how: Any) -> bool:
    """Has a worker work until it ends by itself; whether it ran anything."""
    thread = Working(worker, how)
    thread.start()
    return thread.result()


def burst(redis: Redis, *queues: str, given: Options = OPTIONS, **arguments: Any) -> bool:
    """Runs all that is queued."""
    return work(make_worker(redis, *queues, given=given, **arguments), burst=True)


class Working(threading.Thread):
    """A worker that works in a thread."""

    def __init__(self, worker: AsyncWorker, how: dict[str, Any]) -> None:
        super().__init__(daemon=True, name="worker of a test")
        self._worker = worker
        self._how = {"logging_level": os.environ.get("CHORES_LOG", "CRITICAL"), **how}
        self._worked = False
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._worked = self._worker.work(**self._how)
        except BaseException as error:  # noqa: BLE001 - raised where the test waits
            self._error = error
        finally:
            self._worker.connection.close()

    def result(self, seconds: float = 20) -> bool:
        self.join(seconds)
        if self._error is not None:
            raise self._error
        assert not self.is_alive(), "the worker does not end"
        return self._worked


def until(found: Callable[[], T], seconds: float = 10) -> T:
    """Returns what is found as soon as it is anything; fails after so many seconds."""
    ends = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.005)
    return what


def ended(job: Job, seconds: float = 10) -> str:
    """Waits for the end of a job; its status."""
    return until(lambda: status if (status := status_of(job)) in ENDS else "", seconds)


ENDS = ("finished", "failed", "stopped", "canceled", "gone")


def status_of(job: Job) -> str:
    status = job.connection.hget(job.key, "status")
    return "gone" if status is None else status.decode()  # type: ignore[union-attr]


def error_of(job: Job) -> str:
    """What is on record about a job's failure."""
    result = job.latest_result()
    assert result is not None
    return result.exc_string or ""


def outcomes(redis: Redis, queue: str = NAME) -> dict[str, int]:
    """How often a queue's attempts ended how."""
    counts: Any = redis.hgetall(f"mediaq:outcomes:{queue}")
    return {name.decode(): int(count) for name, count in counts.items()}


def traces(redis: Redis, job_id: str) -> list[str]:
    """The keys that name a job, and the sets that hold one of its executions."""
    named = [key.decode() for key in redis.scan_iter(f"*{job_id}*")]
    holding = [
        key.decode()
        for pattern in ("rq:wip:*", "mediaq:leases", "rq:worker:*:executions")
        for key in redis.scan_iter(pattern)
        if any(job_id in member.decode() for member in members(redis, key))
    ]
    return sorted(named + holding)


def members(redis: Redis, key: bytes) -> list[bytes]:
    found: Any = redis.smembers(key) if redis.type(key) == b"set" else redis.zrange(key, 0, -1)
    return list(found)


@frozen
class Shell:
    """Runs RQ's commands for a server, with mediaq's worker set up to run chores.

    Args:
        folder: Where they run.
        redis_url: The server.
    """

    folder: Path
    redis_url: str

    @contextmanager
    def start(self, *command: str, slots: int = 10) -> Iterator[subprocess.Popen[str]]:
        """Runs a command while the block runs."""
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=self.folder,
            env=self._environment(slots),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                kill_family(process.pid)
            process.communicate()

    def run(self, *command: str, slots: int = 10, status: int = 0) -> str:
        """Runs a command to its end; what it said."""
        with self.start(*command, slots=slots) as process:
            said, _ = process.communicate(timeout=30)
            assert process.returncode == status, said
        return said

    def worker(self, *flags: str, slots: int = 10, status: int = 0) -> str:
        """Runs our worker to its end; what it said."""
        return self.run(*OUR_WORKER, *flags, slots=slots, status=status)

    def _environment(self, slots: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIAQ_", "RQ_"))}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "RQ_REDIS_URL": self.redis_url,
            "RQ_DASHBOARD_REDIS_URL": self.redis_url,
            "MEDIAQ_WORKER__FUNCTIONS": '["chores.*"]',
            "MEDIAQ_CONCURRENCY": f"{NAME}={slots},other={slots}",
        }


def enqueue_many(queue: Queue, function: str, count: int, **given: Any) -> list[Job]:
    """Enqueues calls with the numbers from 0 on."""
    return queue.enqueue_many([Queue.prepare_data(function, (index,), **given) for index in range(count)])
