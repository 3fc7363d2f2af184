"""The worker that the `rq` command line loads: many jobs at once on one event loop, in RQ's own terms."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.exceptions import RedisError
from rq import worker_registration
from rq.command import parse_payload
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.worker import BaseWorker, DequeueStrategy

from mediaq.queue.aftermath import settle, settle_poisoned
from mediaq.queue.clients import open_async, open_impatient
from mediaq.queue.functions import Functions
from mediaq.queue.heart import Heart, Held
from mediaq.queue.kept import keeping
from mediaq.queue.loop import WorkLoop
from mediaq.queue.maintenance import keep_house
from mediaq.queue.options import Options
from mediaq.queue.orphans import Orphans
from mediaq.queue.payload import resolve_serializer
from mediaq.queue.shutdown import Shutdown
from mediaq.queue.threads import Threads
from mediaq.queue.turns import Turns

if TYPE_CHECKING:
    from mediaq.queue.ends import End
    from mediaq.queue.lane import Lane
    from mediaq.queue.observer import Observer
    from mediaq.queue.run import Run


def _always(queue: str) -> bool:  # noqa: ARG001 - the shape of AsyncWorker.may_claim
    return True


class AsyncWorker(BaseWorker):
    """Runs many jobs at once: coroutines on one event loop, plain functions in threads.

    Args:
        queues: Queues or their names; each gets a lane with slots of its own.
        args: RQ's further arguments, in RQ's order.
        options: What RQ knows nothing of.
        kwargs: RQ's further arguments by name.

    Attributes:
        may_claim: Tells whether jobs of a queue may be taken now; asked again each second while it says no. A
            `lifespan` may set it, for jobs that need what may be away.
        observer: Told how jobs end and how the event loop does, if anyone is.
    """

    def __init__(self, queues: Any, *args: Any, options: Options | None = None, **kwargs: Any) -> None:
        kwargs["serializer"] = resolve_serializer(kwargs.get("serializer"))
        super().__init__(queues, *args, **kwargs)
        self.options = options or Options()
        self.functions = Functions(self.options.functions)
        self.threads = Threads()
        self.shutdown = Shutdown(self)
        self.may_claim: Callable[[str], bool] = _always
        self.observer: Observer | None = None
        self.jobs: WorkLoop | None = None
        self.turns: Turns | None = None
        self._orphans: Orphans | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:
        """Works until it is told to stop, or in burst mode until there is nothing left to do.

        Args:
            burst: Whether to stop when the queues are empty.
            logging_level: Of RQ's loggers.
            date_format: Of the log.
            log_format: Of the log.
            max_jobs: Jobs to run before it stops.
            max_idle_time: Seconds without a job before it stops.
            with_scheduler: Whether a burst begins with the jobs that are due; without burst the scheduler
                always runs.
            dequeue_strategy: Which queue comes first where `max_jobs` leaves no room for all.

        Returns:
            Whether any job was run.
        """
        self._dequeue_strategy = dequeue_strategy
        self.bootstrap(logging_level, date_format, log_format)
        self._install_signal_handlers()
        try:
            return self._run(
                self._work(burst=burst, max_jobs=max_jobs, max_idle=max_idle_time, schedule=with_scheduler)
            )
        finally:
            self._loop = None
            self.threads.close()
            self._restore_signal_handlers()
            self.shutdown.disarm()
            # For another run.
            self.shutdown = Shutdown(self)
            self._leave()

    def _run(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Runs the event loop until the work is done.

        asyncio lets a loop go at once where any task raises SystemExit or KeyboardInterrupt, also one that a
        job has made: that job hears of it from its task, and the others go on.
        """
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            working = loop.create_task(work)
            while True:
                try:
                    return loop.run_until_complete(working)
                except (SystemExit, KeyboardInterrupt) as error:
                    if working.done():
                        raise
                    self.log.error("Worker %s: %r in a task does not end it", self.name, error)  # noqa: TRY400

    async def _work(
        self, *, burst: bool, max_jobs: int | None, max_idle: float | None, schedule: bool
    ) -> bool:
        self._loop = asyncio.get_running_loop()
        redis = open_async(self.connection, self.options.lease)
        heart = Heart(self, open_impatient(self.connection, self.options.beat), self._loop)
        self.turns = Turns(redis, self.options.deaths)
        self.jobs = WorkLoop(self, redis, burst=burst, max_jobs=max_jobs, max_idle=max_idle)
        self._orphans = Orphans(self, self.jobs, redis)
        heart.start()
        try:
            async with (
                keep_house(self, redis, burst=burst, schedule=schedule),
                keeping(),
                self.lifespan(),
            ):
                await self.shutdown.watch(self.jobs)
            return self.jobs.started > 0
        finally:
            heart.stop()
            await redis.aclose()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Does what else is to be done while the worker works; nothing here. What is `kept`, it may share."""
        yield

    # What RQ and its command line ask of a worker.

    @property
    def hash_ttl(self) -> int:
        """Seconds the worker's hash outlives its last sign of life: RQ's while it works, idle or not."""
        return int(min(self.worker_ttl, self.job_monitoring_interval)) + 60

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Obeys a command; called in the thread that listens for them."""
        try:
            payload = parse_payload(message)
        except ValueError:
            # RQ would let the thread end with it, and the worker be deaf from then on.
            self.log.warning("Worker %s: ignores a command that is no JSON", self.name)
            return
        self.call_soon(self._obey, payload)

    def unsubscribe(self) -> None:
        """Stops listening for commands."""
        thread: Any = self.pubsub_thread
        if thread is not None and self.pubsub is not None:
            # In this order: the farewell wakes the thread, which then finds that it is to end.
            thread.stop()
            self.pubsub.unsubscribe()  # type: ignore[no-untyped-call]
            thread.join(timeout=1)
            self.pubsub.close()

    def _obey(self, payload: dict[str, Any]) -> None:
        match payload:
            case {"command": "stop-job", "job_id": job_id}:
                self._stop_runs(payload, lambda run: run.job_id == job_id)
            case {"command": "stop-execution", "execution_id": execution}:
                self._stop_runs(payload, lambda run: run.execution == execution)
            case {"command": "shutdown"}:
                self.shutdown.ask()
            case _:
                self.log.warning("Worker %s: ignores the command %s", self.name, payload)

    def _stop_runs(self, payload: dict[str, Any], chosen: Any) -> None:
        if self.jobs is None or not self.jobs.stop_runs(chosen):
            self.log.warning("Worker %s: does not run what %s names", self.name, payload)

    def _install_signal_handlers(self) -> None:
        # Signals reach the main thread only; elsewhere whoever started the worker stops it.
        if threading.current_thread() is threading.main_thread():
            self.shutdown.owns_process = True
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self.request_stop)

    def _restore_signal_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def request_stop(self, signum: int | None = None, frame: Any = None) -> None:  # noqa: ARG002 - RQ's signature
        """Stops the worker: warm the first time, cold the second; may be called from any thread."""
        self.shutdown.ask()

    def call_soon(self, act: Any, *args: Any) -> None:
        """Calls something on the worker's loop, from any thread; nothing where it does not run."""
        if (loop := self._loop) is not None:
            # It may close meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(act, *args)

    def _leave(self) -> None:
        try:
            self.register_death()  # type: ignore[no-untyped-call]
            self.unsubscribe()
        except (RedisError, OSError) as error:
            self.log.warning("Worker %s: leaves without a word: %s", self.name, error)

    def register_again(self, redis: Redis) -> None:
        """Registers the worker after Redis has forgotten it."""
        with redis.pipeline() as pipe:
            pipe.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipe)
            pipe.expire(self.key, self.hash_ttl)
            pipe.execute()

    # What the parts of the worker tell each other.

    def order(self, lanes: Sequence[Lane]) -> Sequence[Lane]:
        """Returns the lanes in the order in which they claim, by RQ's strategies."""
        if self._dequeue_strategy == DequeueStrategy.RANDOM:
            return random.sample(lanes, len(lanes))
        if self._dequeue_strategy == DequeueStrategy.ROUND_ROBIN and self.jobs is not None:
            first = self.jobs.started % len(lanes)
            return [*lanes[first:], *lanes[:first]]
        return lanes

    def thread_ended(self, run: Run) -> None:
        """Takes note that a job's plain function is through."""
        if self.jobs is not None:
            self.jobs.thread_ended(run)

    def running(self) -> list[Run]:
        """Returns the executions that run now; may be called from any thread."""
        return [] if self.jobs is None else list(self.jobs.runs.values())

    def lanes(self) -> Sequence[Lane]:
        """Returns the lanes of its queues, none before it works; may be called from any thread."""
        return [] if self.jobs is None else self.jobs.lanes

    def compare(self, held: Held, sent: float) -> None:
        """Compares what Redis holds for this worker with what it runs."""
        if self._orphans is not None:
            self._orphans.compare(held, sent)

    def after(self, run: Run, end: End) -> None:
        """Does what is to be done once a job's end is on record."""
        if self.observer is not None:
            self.observer.job_ended(run.lane.queue, end.outcome, run.worked, again=end.again)
        if b"webhooks" in run.fields or b"rate_limit_key" in run.fields:
            self._spawn(lambda: settle(self, run, end))

    def bury(self, poisoned: list[str]) -> None:
        """Does what is to be done for jobs that failed because too many workers died over them."""
        self._spawn(lambda: settle_poisoned(self, poisoned))

    def _spawn(self, act: Callable[[], None]) -> None:
        if self.jobs is not None:
            self.jobs.follow(self.threads.run(act))
