"""The heart: a thread that renews a worker's leases, takes over dead workers' jobs, and watches the loop.

It has a thread and a connection of its own, so that a job that holds the event loop neither loses its lease
nor keeps others from being saved. Code in C that does not let go of the interpreter holds up the heart too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
import zlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq.defaults import DEFAULT_FAILURE_TTL

from mediaq.queue import keys
from mediaq.queue.dates import written
from mediaq.queue.events import KEPT
from mediaq.queue.scripts import read_script

if TYPE_CHECKING:
    from mediaq.queue.worker import AsyncWorker

# Seconds between two looks at the event loop.
WATCH_EVERY = 0.25
# Entries that one look for dead workers takes at most, of the leases and of each queue.
REAP_BATCH = 100
# Seconds an id may stand in a stock worker's intermediate list: a living one needs milliseconds, RQ waits 60.
STUCK_AFTER = 12

Held = list[tuple[str, str, str, str]]


class Heart:
    """Beats until it is stopped.

    Args:
        worker: Whose heart it is.
        redis: A client of its own, whose commands time out.
        loop: The worker's event loop.
    """

    def __init__(self, worker: AsyncWorker, redis: Redis, loop: asyncio.AbstractEventLoop) -> None:
        self._worker = worker
        self._redis = redis
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()
        self._beat = redis.register_script(read_script("beat").text)
        self._reap = redis.register_script(read_script("fair", "admit", "dependents", "reap").text)
        self._thread = threading.Thread(target=self._run, daemon=True, name="mediaq-heart")
        # When the unbroken row of beats began; none is unbroken yet.
        self._steady_since: float | None = None
        self._last_beat = 0.0
        self._next_beat = 0.0
        self._watch = Watch(worker, loop, self._loop_thread)

    def start(self) -> None:
        """Starts beating."""
        self._thread.start()

    def stop(self) -> None:
        """Stops beating, after what is under way."""
        self._stopped.set()
        self._thread.join(timeout=self._worker.options.beat)
        self._redis.close()

    def _run(self) -> None:
        while not self._stopped.wait(WATCH_EVERY):
            try:
                self._watch.look()
                if time.monotonic() >= self._next_beat:
                    self._next_beat = time.monotonic() + self._worker.options.beat
                    self._live()
            except Exception:
                # The one thread that keeps the leases must outlive its own mistakes.
                self._worker.log.exception("Worker %s: heartbeat failed", self._worker.name)

    def _live(self) -> None:
        try:
            self.beat()
            if self._is_steady() and self.reap():
                # There are more than one look takes: the next is due now.
                self._next_beat = time.monotonic()
        except ResponseError as error:
            self._worker.log.error("Worker %s: Redis refused: %s", self._worker.name, error)  # noqa: TRY400
        except (RedisError, OSError) as error:
            self._steady_since = None
            self._worker.log.warning("Worker %s: no heartbeat: %s", self._worker.name, error)
            self._next_beat = time.monotonic() + 1

    def _is_steady(self) -> bool:
        """Whether this worker has reached Redis for as long as a lease lasts.

        Redis may have been away for everybody, or all have slept, as the machines of a laptop or a paused
        host do: those who come back get the time to renew their leases first.
        """
        now = time.monotonic()
        slept = now - self._last_beat > 2 * (self._worker.options.beat + WATCH_EVERY)
        if self._steady_since is None or slept:
            self._steady_since = now
        self._last_beat = now
        return now - self._steady_since >= self._worker.options.lease

    def beat(self) -> None:
        """Renews the leases, and tells the loop what Redis holds for it."""
        worker = self._worker
        sent = time.monotonic()
        now = datetime.now(UTC)
        registered, *held = self._beat(
            keys=[keys.LEASES, keys.worker(worker.name), keys.worker_executions(worker.name)],
            args=[
                *(keys.RQ, now.timestamp(), written(now), worker.options.lease),
                *(worker.job_monitoring_interval, worker.hash_ttl, worker.name),
                *(part for run in worker.running() for part in run.identity),
            ],
        )
        if not registered:
            worker.register_again(self._redis)
        self._tell(worker.compare, [tuple(part.decode() for part in entry) for entry in held], sent)

    def reap(self) -> bool:
        """Takes over what dead workers held; returns whether there may be more of it."""
        worker = self._worker
        now = datetime.now(UTC)
        reason = f"gave up: {worker.options.deaths + 1} workers died while they ran this job"
        again, poisoned, more = self._reap(
            keys=[keys.LEASES, keys.QUEUES],
            args=[
                *(keys.RQ, keys.OURS, now.timestamp(), written(now), REAP_BATCH, worker.options.deaths),
                *(STUCK_AFTER, b64encode(zlib.compress(reason.encode())), DEFAULT_FAILURE_TTL, KEPT),
            ],
        )
        for job_id in again:
            worker.log.warning("Worker %s: job %s runs again, its worker died", worker.name, job_id.decode())
        if poisoned:
            self._tell(worker.bury, [job_id.decode() for job_id in poisoned])
        return bool(more)

    def _tell(self, what: Callable[..., Any], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *args)
        except RuntimeError:
            # The loop has closed; the worker is about to stop this thread.
            self._stopped.set()


class Watch:
    """Notices when the event loop is held, and logs the stack of whatever holds it.

    Args:
        worker: Whose loop it is.
        loop: The loop.
        thread: The loop's thread.
    """

    def __init__(self, worker: AsyncWorker, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._worker = worker
        self._loop = loop
        self._thread = thread
        self._asked: float | None = None
        self._logged = False

    @property
    def is_held(self) -> bool:
        """Whether the loop has not answered for longer than it may."""
        return self._asked is not None and time.monotonic() - self._asked >= self._worker.options.lag

    def look(self) -> None:
        """Asks the loop for a sign of life; logs once for each time it is held."""
        if self._asked is None:
            self._asked = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                return
        elif self.is_held and not self._logged:
            self._logged = True
            self._log()

    def _answer(self) -> None:
        held = 0.0 if self._asked is None else time.monotonic() - self._asked
        if self._logged:
            self._worker.log.warning(
                "Worker %s: the event loop goes on, it was held for %.1f s", self._worker.name, held
            )
        if self._worker.observer is not None:
            self._worker.observer.loop_lagged(held)
        self._asked, self._logged = None, False

    def _log(self) -> None:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the only way to another thread's stack
        task = asyncio.current_task(self._loop)
        self._worker.log.warning(
            "Worker %s: %s holds the event loop, the other jobs wait:\n%s",
            self._worker.name,
            task.get_name() if task else "a callback",
            "".join(traceback.format_stack(frame)) if frame else "",
        )
