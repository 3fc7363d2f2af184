"""How a worker stops: warm, then cold, and at last without its event loop's help."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mediaq.queue import keys
from mediaq.queue.clients import open_impatient
from mediaq.queue.dates import written
from mediaq.queue.ends import interrupted
from mediaq.queue.scripts import read_script

if TYPE_CHECKING:
    from mediaq.queue.ends import End
    from mediaq.queue.loop import WorkLoop
    from mediaq.queue.worker import AsyncWorker

# Of the grace period, what is kept for jobs that are cut short to clean up, and for handing them back.
CLEANING_UP = 0.2
# Seconds a cold stop gives jobs to clean up.
COLD = 0.5
# Seconds Redis has to take the last ends.
LAST_WORDS = 1.0
# Seconds beyond the grace period after which a process that is still there hands its jobs back and ends.
LAST_RESORT = 3.0
# Seconds within which a second signal is the same one: from a worker pool and from the terminal both.
ECHO = 1.0


class Shutdown:
    """The stop of one worker.

    Args:
        worker: The worker.
    """

    def __init__(self, worker: AsyncWorker) -> None:
        self._worker = worker
        self._asked: float | None = None
        self._cold = False
        self._jobs: WorkLoop | None = None
        self._over = asyncio.Event()
        self._timers: list[threading.Timer] = []
        # Whether the process ends with the worker.
        self.owns_process = False

    def ask(self) -> None:
        """Stops the worker: warm the first time, cold the second. Safe in signal handlers and threads."""
        if self._asked is None:
            self._asked = time.monotonic()
            if self.owns_process:
                self._arm(self._worker.options.grace + LAST_RESORT)
            self._worker.call_soon(self._stop_warm)
        elif not self._cold and time.monotonic() - self._asked >= ECHO:
            self._cold = True
            if self.owns_process:
                self._arm(COLD + LAST_WORDS + LAST_RESORT)
            self._worker.call_soon(self._stop_cold)

    async def watch(self, jobs: WorkLoop) -> None:
        """Works until there is nothing left to do, or until the grace period is over."""
        self._jobs = jobs
        working = asyncio.create_task(jobs.work())
        over = asyncio.create_task(self._over.wait())
        if self._asked is not None:
            self._stop_warm()
        await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not working.done():
            jobs.abandon()
            await asyncio.wait({working}, timeout=LAST_WORDS)
            working.cancel()
            await asyncio.wait({working}, timeout=LAST_WORDS)
        if working.done() and not working.cancelled():
            working.result()

    def _stop_warm(self) -> None:
        if self._jobs is None:
            return
        worker, loop, grace = self._worker, asyncio.get_running_loop(), self._worker.options.grace
        worker.log.info("Worker %s: warm shut down requested", worker.name)
        self._jobs.stop()
        self._jobs.spawn(worker.threads.run(self._write_down))
        loop.call_later(grace * (1 - CLEANING_UP), self._jobs.interrupt)
        loop.call_later(grace, self._over.set)

    def _stop_cold(self) -> None:
        if self._jobs is None:
            return
        self._worker.log.warning("Worker %s: cold shut down", self._worker.name)
        self._jobs.interrupt()
        asyncio.get_running_loop().call_later(COLD, self._over.set)

    def _write_down(self) -> None:
        # RQ's tools show it.
        worker = self._worker
        worker.connection.hset(worker.key, "shutdown_requested_date", written(datetime.now(UTC)))

    def _arm(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end_process)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def disarm(self) -> None:
        """Lets the process live: the worker has come to its end by itself."""
        for timer in self._timers:
            timer.cancel()

    def _end_process(self) -> None:
        """Hands the jobs back and ends the process; a job holds the event loop or the end of a thread."""
        worker = self._worker
        try:
            worker.log.error("Worker %s: does not come to its end by itself, ends now", worker.name)
            self._hand_back()
        except Exception:
            worker.log.exception("Worker %s: cannot hand its jobs back", worker.name)
        finally:
            os._exit(1)

    def _hand_back(self) -> None:
        worker = self._worker
        now = datetime.now(UTC)
        redis = open_impatient(worker.connection, LAST_WORDS)
        redis.register_script(read_script("fair", "admit", "dependents", "evict", "finish").text)(
            keys=[
                *(keys.LEASES, keys.worker(worker.name), keys.worker_executions(worker.name)),
                keys.QUEUES,
            ],
            args=[
                *(keys.RQ, keys.OURS, now.timestamp(), written(now)),
                *(part for end in self._last_ends() for part in end.args),
            ],
        )
        # Its executions are gone; whoever shows the workers should not show this one.
        worker.connection = redis
        worker.register_death()  # type: ignore[no-untyped-call]

    def _last_ends(self) -> list[End]:
        """Returns how the jobs end that the loop can say nothing of any more."""
        if self._jobs is None:
            return []
        interrupted_runs = [interrupted(run) for run in reversed(list(self._jobs.runs.values()))]
        return [*self._jobs.unsettled.values(), *interrupted_runs]
