"""One execution of a job in an AsyncWorker: what it is, its clock, and what may cut it short."""

from __future__ import annotations

import asyncio
import json
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from rq.queue import Queue as RQQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediaq.queue.claimed import ClaimedJob, Hash
    from mediaq.queue.lane import Lane

# What runs here; unset outside an AsyncWorker's jobs.
current_run: ContextVar[Run] = ContextVar("current_run")

# Seconds between two cancellations of a coroutine that does not end, and how many it gets before the worker
# goes on without it. More than one: before Python 3.12 a cancellation may get lost where it meets the end of
# a timeout.
INSIST_EVERY = 1.0
INSIST_TIMES = 5
# Seconds by which a clock may be late before that is put down to a job that held the event loop.
HELD = 0.5


# No number of a job is beyond: far more seconds than anyone waits, far fewer than Redis can add to its clock.
MOST = 10**12


class Reason(Enum):
    """Why an execution was cut short."""

    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Run:
    """One execution.

    Args:
        job: The job, as `rq.get_current_job()` returns it.
        fields: Its hash.
        execution: The execution's id, the fence of all that is written later.
        lane: Whose slot it holds.
        worker_name: The worker.
        serializer: RQ's serializer.
        default_result_ttl: Seconds a result stays where the job does not say.
        started_at: When it was claimed.
    """

    def __init__(
        self,
        job: ClaimedJob,
        fields: Hash,
        execution: str,
        lane: Lane,
        worker_name: str,
        serializer: Any,
        default_result_ttl: int,
        started_at: datetime,
    ) -> None:
        self.job = job
        self.job_id: str = job.id
        self.fields = fields
        self.execution = execution
        self.lane = lane
        self.worker_name = worker_name
        self.serializer = serializer
        self.default_result_ttl = default_result_ttl
        self.started_at = started_at
        self.ended_at = started_at
        self.claimed = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] | None = None
        self.reason: Reason | None = None
        self.begun = False
        # Whether the job's own code is through: callbacks are not cut short.
        self.through = False
        # Whether the worker has gone on without its coroutine, which does not end.
        self.given_up = False
        self.reported = False
        # Whether its coroutine has ended, callbacks and all.
        self.over = False
        # Whether a plain function is still at it in its thread.
        self.in_thread = False
        self.abandon: Callable[[Run], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._left = 0.0
        self._given_back = 0.0
        self._parked = 0

    @property
    def identity(self) -> tuple[str, str, str, float]:
        """What beat.lua takes for it: job, execution, queue, since when."""
        return (self.job_id, self.execution, self.lane.queue, self.started_at.timestamp())

    @property
    def timeout(self) -> float:
        """Seconds the job may take; RQ's default where it does not say; negative: for ever."""
        timeout = self.number("timeout")
        return timeout or RQQueue.DEFAULT_TIMEOUT

    @property
    def result_ttl(self) -> int:
        """Seconds the result stays; 0: not at all; negative: for ever."""
        stays = self.number("result_ttl")
        return self.default_result_ttl if stays is None else stays

    @property
    def retry_intervals(self) -> list[int]:
        """RQ's seconds before each retry."""
        return self._list("retry_intervals")

    @property
    def repeat_intervals(self) -> list[int]:
        """RQ's seconds before each repetition."""
        return self._list("repeat_intervals")

    @property
    def waited(self) -> str:
        """1 where the job waited for others, else empty."""
        return "1" if b"dependency_id" in self.fields else ""

    @property
    def worked(self) -> float:
        """Seconds it took."""
        return (self.ended_at - self.started_at).total_seconds()

    def number(self, name: str) -> int | None:
        """Returns a whole number of the job, as the job itself may have changed it by now, if it has one."""
        if self.job.is_read and hasattr(self.job, name):
            return _whole(getattr(self.job, name))
        return _whole(self.fields.get(name.encode()))

    def text(self, name: str) -> str:
        """Returns a field of the job's hash; empty where it has none."""
        return self.fields.get(name.encode(), b"").decode(errors="replace")

    def _list(self, name: str) -> list[int]:
        try:
            given = getattr(self.job, name) if self.job.is_read else json.loads(self.fields[name.encode()])
            return [_whole(each) or 0 for each in given]
        except (KeyError, ValueError, TypeError):
            return []

    def end(self) -> None:
        """Stops the clock: the job's own code is through, or has failed."""
        self.through = True
        self.ended_at = datetime.now(UTC)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def start_clock(self, seconds: float) -> None:
        """Cuts the execution short after so many seconds."""
        self._left = seconds
        if seconds > 0:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        # While another job held the loop, this one could not use its time: it gets some back.
        late = 0.0 if self._deadline is None else asyncio.get_running_loop().time() - self._deadline.when()
        # As much as its timeout in all, for it may be what holds the loop itself.
        back = min(late, self.timeout - self._given_back)
        if late > HELD and back > 0:
            self._given_back += back
            self.start_clock(back)
        else:
            self.interrupt(Reason.TIMED_OUT)

    def park(self) -> None:
        """Gives the slot back and stops the clock; of several waits at once, the first does."""
        self._parked += 1
        if self._parked > 1:
            return
        self.lane.park()
        if self._deadline is not None:
            # It may be due already; none left would mean no limit.
            self._left = max(self._deadline.when() - asyncio.get_running_loop().time(), 0.001)
            self._deadline.cancel()
            self._deadline = None

    async def unpark(self) -> None:
        """Takes a slot again and lets the clock go on; of several waits at once, the last does."""
        self._parked -= 1
        if self._parked == 0:
            await self.lane.unpark(at_once=self.reason is not None)
            if self._left > 0 and self.reason is None:
                self.start_clock(self._left)

    def interrupt(self, reason: Reason) -> None:
        """Cuts the execution short; the first reason counts."""
        if self.reason is None and not self.reported:
            self.reason = reason
            self._insist(INSIST_TIMES)

    def _insist(self, times: int) -> None:
        if self.reported or self.through or self.task is None:
            return
        if self.abandon is not None and (times == 0 or not self.begun):
            self.task.cancel()
            self.given_up = True
            self.abandon(self)
            return
        self.task.cancel()
        asyncio.get_running_loop().call_later(INSIST_EVERY, self._insist, times - 1)


def _whole(given: Any) -> int | None:
    try:
        return max(-MOST, min(int(given), MOST))
    except (TypeError, ValueError, OverflowError):
        return None
