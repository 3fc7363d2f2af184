"""Runs the same jobs by RQ's worker and by mediaq's, each on an empty database, and reads what is left."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import errands
from attrs import field, frozen
from differences import ALWAYS, Allowed
from penalty import Penalty
from redis import Redis
from redis_state import Difference, Reader, State
from rq import Queue, SimpleWorker
from rq.serializers import resolve_serializer
from rq.worker import BaseWorker
from worker_kit import HERE, Shell, Working

from mediaq.queue.options import Options
from mediaq.queue.worker import AsyncWorker

FIRST, SECOND, UNSERVED = "first", "second", "unserved"
# The same for both: it stands in keys and values.
WORKER = "worker-1"


@frozen
class Bench:
    """What a scenario works with: a client, and stock RQ's queues."""

    redis: Redis
    queues: Mapping[str, Queue]

    @property
    def queue(self) -> Queue:
        return self.queues[FIRST]

    def give_word(self) -> None:
        """Let the job go on that waits for it."""
        self.redis.rpush(errands.WORD, "go on")


Enqueue = Callable[[Bench], object]


@frozen
class Scenario:
    """What is done twice.

    Args:
        name: What it is about.
        enqueue: Enqueues the jobs.
        meddle: What else happens, once a job waits for its word; gives it the word, or ends it.
        served: The worker's queues.
        worker: Further arguments of the worker.
        work: Further arguments of its `work`.
        concurrency: Jobs that mediaq's worker runs at once.
        serializer: RQ's name of one.
        forks: Whether RQ can do it by a process of its own only; then what stands in Redis while the job runs
            is compared too, for SimpleWorker's times are its own.
        allowed: The differences that are meant; each must be there.
    """

    name: str
    enqueue: Enqueue
    meddle: Callable[[Bench], object] | None = None
    served: tuple[str, ...] = (FIRST, SECOND)
    worker: Mapping[str, Any] = field(factory=dict)
    work: Mapping[str, Any] = field(factory=dict)
    concurrency: int = 10
    serializer: str | None = None
    forks: bool = False
    allowed: tuple[Allowed, ...] = ()


class Witnessed(BaseWorker):
    """A worker that keeps what it holds when it leaves, for its death deletes that."""

    def register_death(self) -> None:
        for execution in self.connection.smembers(self.executions_key):
            self.connection.sadd("executions at the end", execution)
        super().register_death()  # type: ignore[no-untyped-call]


class StockWorker(Witnessed, SimpleWorker):
    """RQ's worker in a thread: it gets no signals, and does not wait for commands."""

    death_penalty_class = Penalty

    def _install_signal_handlers(self) -> None:
        pass

    def subscribe(self) -> None:
        pass


class OurWorker(Witnessed, AsyncWorker):
    """mediaq's worker."""


Make = Callable[[Scenario, Redis], Any]


def make_stock(scenario: Scenario, redis: Redis, *, kind: type[StockWorker] = StockWorker) -> StockWorker:
    return kind(scenario.served, WORKER, connection=redis, **_settings(scenario))


def make_ours(scenario: Scenario, redis: Redis) -> OurWorker:
    options = Options(functions=("errands.*",), default_concurrency=scenario.concurrency)
    return OurWorker(scenario.served, WORKER, connection=redis, options=options, **_settings(scenario))


def _settings(scenario: Scenario) -> dict[str, Any]:
    return {"serializer": scenario.serializer, **scenario.worker}


def run_stock(url: str, scenario: Scenario) -> State:
    """Run a scenario to its end by RQ's own worker; return what it leaves."""
    if scenario.forks:
        return _watch(url, scenario, _forked(url, scenario))
    return run(url, scenario, make_stock)


def run_ours(url: str, scenario: Scenario) -> State:
    """Run a scenario to its end by mediaq's worker; return what it leaves."""
    return run(url, scenario, make_ours)


def run(url: str, scenario: Scenario, make: Make) -> State:
    """Run a scenario to its end by a worker in a thread; return what it leaves."""
    return _watch(url, scenario, _threaded(url, scenario, make))


@contextmanager
def _threaded(url: str, scenario: Scenario, make: Make) -> Iterator[None]:
    thread = Working(make(scenario, Redis.from_url(url)), {"burst": True, **scenario.work})
    thread.start()
    yield
    thread.result()


@contextmanager
def _forked(url: str, scenario: Scenario) -> Iterator[None]:
    command = ("rq", "worker", "--quiet", "--burst", "--name", WORKER, *scenario.served)
    with Shell(HERE, url).start(*command) as process:
        yield
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said


def _watch(url: str, scenario: Scenario, working: AbstractContextManager[None]) -> State:
    serializer = resolve_serializer(scenario.serializer)
    with Redis.from_url(url) as redis:
        redis.flushall()
        names = (FIRST, SECOND, UNSERVED)
        bench = Bench(redis, {name: Queue(name, connection=redis, serializer=serializer) for name in names})
        scenario.enqueue(bench)
        # Times tell by it whether they are of the run.
        time.sleep(0.002)
        reader = Reader(redis, serializer, time.time())
        with working:
            meanwhile = _meddle(scenario, bench, reader)
        return reader.read() | meanwhile


def _meddle(scenario: Scenario, bench: Bench, reader: Reader) -> State:
    if scenario.meddle is None:
        return {}
    assert bench.redis.blpop([errands.BEGUN], timeout=errands.PATIENCE), "no job waits for its word"
    meanwhile = reader.read() if scenario.forks else {}
    scenario.meddle(bench)
    return {(f"while it runs: {key}", *place): value for (key, *place), value in meanwhile.items()}


def judge(differences: Sequence[Difference], allowed: Sequence[Allowed]) -> list[str]:
    """Return what is wrong: differences that are not meant, and what is meant but not there."""
    rules = (*ALWAYS, *allowed)
    unmeant = [str(each) for each in differences if not any(rule.covers(each) for rule in rules)]
    absent = [
        f"not there, though meant: {rule.name}: {rule.reason}"
        for rule in allowed
        if not any(rule.covers(each) for each in differences)
    ]
    return [*unmeant, *absent]
