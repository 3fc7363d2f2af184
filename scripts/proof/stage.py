"""Where faults happen: the server, workers that come and go, and a look at what jobs have become."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from attrs import field, frozen
from redis import Redis
from rq import Queue
from rq.job import Job, Retry
from rq.utils import as_text

from mediaq.embedded import leftovers
from mediaq.queue import keys
from proof import diary
from proof.diary import Diary
from proof.effort import Effort
from proof.processes import Worker
from proof.server import Server

_POLL = 0.01
_TAIL_LINES = 15
_IMPORTED_FROM = Path(__file__).parents[1]
_RQ = (sys.executable, "-m", "rq.cli")


class StuckError(Exception):
    """Something did not happen in time; the message says what."""


@frozen
class Stage:
    """What a scenario plays on.

    Args:
        server: The server, which runs.
        redis: A client of it.
        folder: For logs and the diary.
        effort: How much of each fault.
    """

    server: Server
    redis: Redis
    folder: Path
    effort: Effort
    diary: Diary = field(init=False)
    _numbers: Iterator[int] = field(init=False, factory=count)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "diary", Diary(self.folder / "diary"))
        self.diary.clear()

    def clear(self) -> None:
        """Forget all jobs."""
        self.redis.flushall()
        self.diary.clear()

    # Jobs.

    def enqueue(self, queue: str, task: str, *args: Any, times: int = 1, **how: Any) -> list[str]:
        """Enqueue jobs by stock RQ; return their ids.

        Args:
            queue: The queue.
            task: A function of `proof.tasks`.
            args: Its arguments.
            times: How many.
            how: RQ's further arguments, such as `retry`.
        """
        prepared = [Queue.prepare_data(f"proof.tasks.{task}", args, **how) for _ in range(times)]
        return [job.id for job in Queue(queue, connection=self.redis).enqueue_many(prepared)]

    def enqueue_naps(self, queue: str, seconds: float, times: int) -> list[str]:
        """Enqueue naps, every other one with retries."""
        half = times // 2
        return [
            *self.enqueue(queue, "nap", seconds, times=times - half),
            *self.enqueue(queue, "nap", seconds, times=half, retry=Retry(2)),
        ]

    def fields(self, job: str) -> dict[str, str]:
        """Return what Redis holds of a job, its data left out."""
        names = ("status", "retries_left", "mediaq_deaths", "mediaq_interruptions", "worker_name")
        values = self.redis.hmget(keys.job(job), names)
        return {name: as_text(value) for name, value in zip(names, values, strict=True) if value is not None}

    def statuses(self, jobs: Sequence[str]) -> dict[str, int]:
        """Return how many of the jobs are what."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hget(keys.job(job), "status")
            found = [status.decode() if status else "gone" for status in pipe.execute()]
        return {status: found.count(status) for status in sorted(set(found))}

    def ends(self, jobs: Sequence[str]) -> dict[int, int]:
        """Return how many of the jobs have how many results on record."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.xlen(keys.results(job))
            found = pipe.execute()
        return {ends: found.count(ends) for ends in sorted(set(found))}

    def reason(self, job: str) -> str:
        """Return why a job failed."""
        latest = Job.fetch(job, connection=self.redis).latest_result()
        return str(latest.exc_string) if latest else ""

    def running(self, worker: Worker) -> list[str]:
        """Return the jobs that Redis holds for a worker."""
        members = self.redis.smembers(keys.worker_executions(worker.name))
        return [as_text(member).split(":")[0] for member in members]

    def waiting(self, *queues: str) -> int:
        """Return how many jobs wait."""
        return sum(self.redis.llen(keys.queue(queue)) for queue in queues)

    def outcomes(self, *queues: str) -> dict[str, int]:
        """Return how attempts ended, by what they count as."""
        total: Counter[str] = Counter()
        for queue in queues:
            found = dict(self.redis.hgetall(keys.outcomes(queue)))
            total.update({as_text(outcome): int(jobs) for outcome, jobs in found.items()})
        return dict(total)

    def traces(self) -> dict[str, int]:
        """Return what stands in Redis for jobs that run, or that seem to; empty where there is nothing."""
        counts = {"leases": self.redis.zcard(keys.LEASES)}
        for pattern in ("execution:*", "executions:*", "wip:*", "worker:*:executions", "queue:*"):
            counts[pattern] = sum(self._size(key) for key in self.redis.scan_iter(f"{keys.RQ}:{pattern}"))
        return {what: size for what, size in counts.items() if size}

    def _size(self, key: bytes) -> int:
        sizes = {"zset": self.redis.zcard, "set": self.redis.scard, "list": self.redis.llen}
        size = sizes.get(as_text(self.redis.type(key)))
        return int(size(key)) if size else 1

    # Workers.

    @contextmanager
    def working(self, slots: Mapping[str, int], **options: Any) -> Iterator[Worker]:
        """Run an AsyncWorker while the block runs, unless it is killed before; yields when it is registered.

        Args:
            slots: Its queues, and how many jobs of each it runs at once.
            options: Of the settings of workers, those that differ from the default.
        """
        name = f"worker-{next(self._numbers)}"
        flags = ["--worker-class", "mediaq.AsyncWorker", "--name", name, *slots]
        settings = {
            "MEDIAQ_WORKER__FUNCTIONS": '["proof.tasks.*"]',
            "MEDIAQ_CONCURRENCY": ",".join(f"{queue}={count}" for queue, count in slots.items()),
            **{f"MEDIAQ_WORKER__{option.upper()}": str(value) for option, value in options.items()},
        }
        with self._running(name, flags, settings) as worker:
            self.wait(lambda: self.redis.exists(keys.worker(name)), 20, f"{name} is registered", worker)
            yield worker

    @contextmanager
    def stock_working(self, queue: str) -> Iterator[Worker]:
        """Run RQ's own worker while the block runs."""
        name = f"stock-{next(self._numbers)}"
        with self._running(name, ["--name", name, queue], {}) as worker:
            yield worker

    @contextmanager
    def _running(self, name: str, flags: Sequence[str], settings: Mapping[str, str]) -> Iterator[Worker]:
        """Run `rq worker` while the block runs; then kill it, unless it has ended."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 -- our own command
                [*_RQ, "worker", *flags],
                cwd=self.folder,
                env={**self._variables(), **settings},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        worker = Worker(name, process, log)
        try:
            yield worker
        finally:
            worker.kill()

    def run_tool(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run one of RQ's command line tools."""
        return subprocess.run(  # noqa: S603 -- our own command
            [*_RQ, *command],
            env=self._variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def wait(
        self, until: Callable[[], Any], seconds: float, what: str, worker: Worker | None = None
    ) -> float:
        """Wait for something; return the seconds that took.

        Raises:
            StuckError: It did not happen in so many seconds.
        """
        since = time.monotonic()
        while not until():
            if time.monotonic() - since > seconds:
                raise StuckError(f"not within {seconds:g} s: {what}{_tail(worker)}")
            time.sleep(_POLL)
        return time.monotonic() - since

    def wait_for_ends(self, jobs: Sequence[str], seconds: float, status: str = "finished") -> float:
        """Wait until all of the jobs are finished; return the seconds that took.

        Raises:
            StuckError: They were not after so many seconds.
        """
        since = time.monotonic()
        while (found := self.statuses(jobs)) != {status: len(jobs)}:
            if time.monotonic() - since > seconds:
                raise StuckError(f"not within {seconds:g} s: {len(jobs)} jobs are {status}, but {found}")
            time.sleep(_POLL * 5)
        return time.monotonic() - since

    def _variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIAQ_", "RQ_"))}
        return {
            **kept,
            "PYTHONPATH": str(_IMPORTED_FROM),
            "RQ_REDIS_URL": self.server.url,
            diary.VARIABLE: str(self.diary.path),
            leftovers.MARK: str(self.folder.resolve()),
        }


def _tail(worker: Worker | None) -> str:
    if worker is None:
        return ""
    lines = worker.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return f"; the end of its log:\n{chr(10).join(lines)}"
