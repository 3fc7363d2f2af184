"""Runs the same jobs by RQ's worker and by mediaq's, each on an empty database, and reads what is left."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import errands
from attrs import define, field, frozen
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import resolve_serializer
from rq.timeouts import JobTimeoutException, TimerDeathPenalty
from rq.worker import BaseWorker
from state import Difference, Reader, State, Window, compare

from mediaq.queue.options import Options
from mediaq.queue.worker import AsyncWorker

FIRST, SECOND, UNSERVED = "first", "second", "unserved"
# The same for both: names stand in keys and values.
WORKER = "worker-1"
BIN = Path(sys.executable).parent
HERE = Path(__file__).parent


@frozen
class Allowed:
    """A difference that is meant.

    Args:
        reason: Why.
        name: Matches the names of the differences in full: `key / field`.
    """

    reason: str
    name: str

    def covers(self, difference: Difference) -> bool:
        return re.fullmatch(self.name, difference.name) is not None


@frozen
class Bench:
    """What a scenario works with."""

    redis: Redis
    queues: Mapping[str, Queue]

    @property
    def queue(self) -> Queue:
        return self.queues[FIRST]

    def give_word(self) -> None:
        """Let the job go on that waits for it."""
        self.redis.rpush(errands.WORD, "go on")


@frozen
class Scenario:
    """The same thing, done twice.

    Args:
        name: What it is about.
        enqueue: Enqueues the jobs, by RQ's own queues.
        meddle: What else happens, once a job waits for its word; gives it the word unless it ends the job.
        served: The worker's queues.
        worker: Further arguments of the worker.
        work: Further arguments of its `work`.
        concurrency: Jobs that mediaq's worker runs at once.
        serializer: RQ's name of one.
        forks: Whether stock RQ can do it in a process of its own only.
        allowed: The differences that are meant, each of which must be there.
    """

    name: str
    enqueue: Callable[[Bench], object]
    meddle: Callable[[Bench], object] | None = None
    served: tuple[str, ...] = (FIRST, SECOND)
    worker: Mapping[str, Any] = field(factory=dict)
    work: Mapping[str, Any] = field(factory=dict)
    concurrency: int = 10
    serializer: str | None = None
    forks: bool = False
    allowed: tuple[Allowed, ...] = ()


class _Witnessed(BaseWorker):  # type: ignore[misc]
    """A worker that leaves what Redis holds of it when it leaves."""

    def register_death(self) -> None:
        for member in self.connection.smembers(self.executions_key):
            self.connection.sadd("executions at the end", member)
        super().register_death()


class _Penalty(TimerDeathPenalty):  # type: ignore[misc]
    """RQ's timeout without signals; RQ's own rewrites the text of the exception for the whole process."""

    def __init__(self, timeout: int, exception: type[Exception] = JobTimeoutException, **kwargs: Any) -> None:
        own = type(exception.__name__, (exception,), {"__module__": exception.__module__})
        super().__init__(timeout, own, **kwargs)


class StockWorker(_Witnessed, SimpleWorker):  # type: ignore[misc]
    """RQ's worker that forks not, in a thread: it takes no signals, and no commands either."""

    death_penalty_class = _Penalty

    def _install_signal_handlers(self) -> None:
        pass

    def subscribe(self) -> None:
        pass


class OurWorker(_Witnessed, AsyncWorker):  # type: ignore[misc]
    """mediaq's worker."""


def make_stock(scenario: Scenario, redis: Redis) -> BaseWorker:
    return StockWorker(list(scenario.served), WORKER, connection=redis, **_settings(scenario))


def make_ours(scenario: Scenario, redis: Redis) -> BaseWorker:
    options = Options(functions=("errands.*",), default_concurrency=scenario.concurrency)
    return OurWorker(list(scenario.served), WORKER, connection=redis, options=options, **_settings(scenario))


def _settings(scenario: Scenario) -> dict[str, Any]:
    return {"serializer": scenario.serializer, **scenario.worker}


@define
class Runner:
    """Runs scenarios on one database.

    Args:
        url: Where it is; it is emptied before each run.
    """

    url: str

    def run(
        self, scenario: Scenario, make: Callable[[Scenario, Redis], BaseWorker]
    ) -> tuple[State, State | None]:
        """Run a scenario to its end by a worker in a thread.

        Returns:
            What it left, and what there was when it was meddled with.
        """

        def work() -> None:
            with Redis.from_url(self.url) as redis:
                make(scenario, redis).work(burst=True, logging_level="CRITICAL", **scenario.work)

        with ThreadPoolExecutor(1) as threads:
            return self._watch(scenario, lambda: threads.submit(work).result)

    def run_forking(self, scenario: Scenario) -> tuple[State, State | None]:
        """Run a scenario to its end by `rq worker`."""
        options = ["--quiet", "--burst", "--url", self.url, "--name", WORKER]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}

        def work() -> Callable[[], object]:
            worker = subprocess.Popen([BIN / "rq", "worker", *options, *scenario.served], env=environment)
            return lambda: worker.wait(timeout=30)

        return self._watch(scenario, work)

    def _watch(
        self, scenario: Scenario, work: Callable[[], Callable[[], object]]
    ) -> tuple[State, State | None]:
        serializer = resolve_serializer(scenario.serializer)
        with Redis.from_url(self.url) as redis:
            redis.flushall()
            names = {FIRST, SECOND, UNSERVED}
            queues = {name: Queue(name, connection=redis, serializer=serializer) for name in names}
            bench = Bench(redis, queues)
            scenario.enqueue(bench)
            time.sleep(0.002)
            began = time.time()
            wait = work()
            meanwhile = None
            if scenario.meddle is not None:
                assert redis.blpop([errands.BEGUN], timeout=errands.PATIENCE), "no job waits for its word"
                meanwhile = Reader(redis, serializer, Window(began, time.time())).read()
                scenario.meddle(bench)
            wait()
            return Reader(redis, serializer, Window(began, time.time())).read(), meanwhile


def judge(differences: list[Difference], allowed: tuple[Allowed, ...]) -> list[str]:
    """Return what is wrong: differences that are not meant, and those that are meant but are not there."""
    unmeant = [str(each) for each in differences if not any(rule.covers(each) for rule in allowed)]
    absent = [
        f"not there, though meant: {rule.name}"
        for rule in allowed
        if not any(rule.covers(each) for each in differences)
    ]
    return [*unmeant, *absent]
