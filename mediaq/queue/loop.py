"""The work loop: claims jobs for its lanes, runs them, and reports how they ended."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from attrs import frozen
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError
from rq.job import _current_job

from mediaq.queue import ends
from mediaq.queue.calls import TOKEN, Ask, Calls, Claimed, read_claims
from mediaq.queue.cancelling import cancel
from mediaq.queue.claimed import ClaimedJob, Hash
from mediaq.queue.ends import End
from mediaq.queue.lane import Lane
from mediaq.queue.listen import listen
from mediaq.queue.perform import conclude, perform
from mediaq.queue.reports import Ended, Reports
from mediaq.queue.run import Reason, Run, current_run

if TYPE_CHECKING:
    from mediaq.queue.worker import AsyncWorker

# Round trips under way at once. More would keep Redis and the loop busy side by side, and halve what each
# trip carries: measured, that gains nothing.
MOST_EXCHANGES = 1
# Jobs of one lane that one call claims at most, to keep Redis responsive; Lua unpacks a few thousand values.
MOST_CLAIMED = 500
# Seconds between two looks at a queue that is paused or held, at a suspension, or at a Redis that refuses
# writes.
POLL = 1.0
# Seconds between two looks at whether a worker has been idle for as long as it may, at least.
IDLE_LOOK = 0.1
# Seconds between two tries to reach Redis, at first and at most.
RECONNECT = (0.05, 2.0)


@frozen(eq=False)
class Exchange:
    """A round trip that is under way.

    Args:
        batch: What ended, as it was reported.
        asks: The jobs that were asked for.
        token: How the executions of those begin.
    """

    batch: list[Ended]
    asks: list[Ask]
    token: str


class WorkLoop:
    """What an AsyncWorker does on its event loop.

    Args:
        worker: The worker: its name, options and what RQ gave it.
        redis: An asyncio client like the worker's own.
        burst: Whether to stop when there is nothing left to do.
        max_jobs: Jobs to start at most.
        max_idle: Seconds without a job after which to stop.
    """

    def __init__(
        self,
        worker: AsyncWorker,
        redis: Redis,
        *,
        burst: bool = False,
        max_jobs: int | None = None,
        max_idle: float | None = None,
    ) -> None:
        self._worker = worker
        self._redis = redis
        self._calls = Calls(worker, redis)
        self._burst = burst
        self._budget = max_jobs
        self._max_idle = max_idle
        self.lanes = [_make_lane(worker, name, self._stir) for name in dict.fromkeys(worker.queue_names())]
        self.runs: dict[str, Run] = {}
        self.started = 0
        self._reports = Reports(worker, self._calls)
        self._exchanges: set[Exchange] = set()
        self._stopping = False
        self._away = True
        self._last_active = time.monotonic()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._stirred = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._context = copy_context()
        self._over = asyncio.Event()
        self._following: set[asyncio.Future[Any]] = set()
        self._news = False

    async def work(self) -> None:
        """Works until it is told to stop, or until there is nothing left to do."""
        self._context = copy_context()
        self.spawn(self._reach())
        listeners = [asyncio.create_task(listen(lane, self._redis, self._look)) for lane in self.lanes]
        try:
            await self._over.wait()
        finally:
            await cancel({*listeners, *self._tasks})
            await self._calls.wire.close()

    def stop(self) -> None:
        """Stops claiming; the loop ends when the last job has."""
        self._stopping = True
        self._stir()

    def interrupt(self) -> None:
        """Cuts the running jobs short, to hand them back: the last first, so that the first is in front."""
        for run in reversed(list(self.runs.values())):
            run.interrupt(Reason.INTERRUPTED)

    def abandon(self) -> None:
        """Hands back what does not end when it is cut short."""
        for run in reversed(list(self.runs.values())):
            self._report(run, ends.interrupted(run))

    def stop_runs(self, chosen: Callable[[Run], bool]) -> bool:
        """Stops executions on a user's request; returns whether there were any."""
        found = [run for run in self.runs.values() if chosen(run)]
        for run in found:
            run.interrupt(Reason.STOPPED)
        return bool(found)

    @property
    def unsettled(self) -> dict[str, End]:
        """How executions ended of which Redis has not said that it took note, by execution."""
        under_way = [ended for exchange in list(self._exchanges) for ended in exchange.batch]
        return {run.execution: end for end, run in [*under_way, *list(self._reports.waiting)]}

    @property
    def claims(self) -> set[str]:
        """The tokens of claims that are not answered."""
        return {exchange.token for exchange in self._exchanges}

    def report(self, end: End, run: Run) -> None:
        """Has an end recorded with the next exchange."""
        self._reports.add(end, run)
        self._stir()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Runs something beside the loop and keeps it alive; what goes wrong in it is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def follow(self, work: Awaitable[Any]) -> None:
        """Runs what follows the end of a job; the loop does not end before that."""
        task = self.spawn(work)
        self._following.add(task)
        task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Future[Any]) -> None:
        self._following.discard(task)
        # Seen by the next exchange: the answer of one that is on its way knows nothing of it.
        self._news = True
        self._stir()

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._worker.log.error("Worker %s: %s", self._worker.name, error, exc_info=error)

    def _is_done(self) -> bool:
        if self.runs or self._reports.waiting or self._exchanges or self._following:
            return False
        if self._stopping or self._budget == 0:
            return True
        if self._burst:
            return not self._away and not any(lane.hungry and not lane.closed for lane in self.lanes)
        return self._max_idle is not None and time.monotonic() - self._last_active >= self._max_idle

    def _stir(self) -> None:
        """Has the loop look at what there is to do, once for all that happens in this round of it."""
        if not self._stirred:
            self._stirred = True
            # Not in the context of the job that stirs it, which the jobs that come would have a copy of.
            asyncio.get_running_loop().call_soon(self._look, context=self._context)

    def _look(self) -> None:
        self._stirred = False
        self._exchange_what_is_due()
        if self._is_done():
            self._over.set()
        elif self._max_idle is not None and self._idle_timer is None:
            left = self._max_idle - (time.monotonic() - self._last_active)
            self._idle_timer = asyncio.get_running_loop().call_later(max(left, IDLE_LOOK), self._look_idle)

    def _look_idle(self) -> None:
        self._idle_timer = None
        self._stir()

    # Exchanges with Redis: each takes what has ended, and brings as many jobs as there are free slots.

    def _exchange_what_is_due(self) -> None:
        while not self._away and len(self._exchanges) < MOST_EXCHANGES:
            if self._burst and (self._reports.waiting or self._news):
                # What ends may leave more to do, in any of the queues; nobody waits for it here.
                self._look_again(self.lanes)
            self._news = False
            asks = self._asks()
            if not self._reports.waiting and not asks:
                return
            batch = self._reports.take()
            for lane, most in asks:
                lane.ask(most)
            exchange = Exchange(batch, asks, uuid4().hex[:TOKEN])
            # Both leave in one write.
            finishing = self._reports.send(batch) if batch else None
            claiming = self._calls.claim(exchange.token, asks) if asks else None
            self._exchanges.add(exchange)
            self.spawn(self._exchange(exchange, finishing, claiming))

    def _asks(self) -> list[Ask]:
        if self._stopping:
            return []
        asked = sum(lane.asked for lane in self.lanes)
        left = sys.maxsize if self._budget is None else self._budget - asked
        asks: list[Ask] = []
        for lane in self._worker.order(self.lanes):
            most = min(lane.free, MOST_CLAIMED, left)
            if not lane.hungry or lane.closed or most <= 0:
                continue
            if not self._worker.may_claim(lane.queue):
                self._look_later([lane])
                continue
            asks.append((lane, most))
            left -= most
        return asks

    async def _exchange(
        self,
        exchange: Exchange,
        finishing: asyncio.Future[list[bytes]] | None,
        claiming: asyncio.Future[list[Any]] | None,
    ) -> None:
        try:
            try:
                if finishing is not None:
                    await self._reports.settle(exchange.batch, finishing)
                    self._last_active = time.monotonic()
            finally:
                # Whatever became of the ends: Redis has started these.
                if claiming is not None:
                    self._start(read_claims(exchange.asks, await claiming), exchange.asks)
        except NoScriptError as error:
            self._lose(error)
        except ResponseError as error:
            self._worker.log.error("Worker %s: Redis refused: %s", self._worker.name, error)  # noqa: TRY400
            await asyncio.sleep(POLL)
        except (RedisError, OSError) as error:
            self._lose(error)
        finally:
            self._exchanges.discard(exchange)
            for lane, most in exchange.asks:
                lane.answered(most)
            self._stir()

    # Jobs.

    def _start(self, claims: list[Claimed] | None, asks: Sequence[Ask]) -> None:
        if claims is None:
            self._look_later([lane for lane, _ in asks])
            return
        now = datetime.now(UTC)
        for claim in claims:
            lane = claim.lane
            for job_id, execution, fields in claim.jobs:
                self._start_job(self.make_run(job_id, execution, fields, lane, now))
            lane.hungry = claim.more or len(claim.jobs) == claim.asked
            if claim.broken:
                self._worker.log.error(
                    "Worker %s: queue %s has a key of another type than RQ's", self._worker.name, lane.queue
                )
            if claim.paused or claim.broken:
                self._look_later([lane])
            elif not lane.hungry:
                lane.idle.set()

    def make_run(self, job_id: str, execution: str, fields: Hash, lane: Lane, now: datetime) -> Run:
        """Returns an execution as Redis holds it."""
        worker = self._worker
        job = ClaimedJob(job_id, fields, worker.name, now, worker.connection, worker.serializer)
        return Run(
            job, fields, execution, lane, worker.name, worker.serializer, worker.default_result_ttl, now
        )

    def _start_job(self, run: Run) -> None:
        run.abandon = self._abandon
        run.lane.take()
        self.runs[run.execution] = run
        self.started += 1
        if self._budget is not None:
            self._budget -= 1
        run.task = asyncio.create_task(self._run(run), name=f"job {run.job_id}")

    async def _run(self, run: Run) -> None:
        run.begun = True
        current_run.set(run)
        _current_job.set(run.job)
        end: End | None = None
        try:
            end = await perform(run, self._worker)
        except (Exception, SystemExit, KeyboardInterrupt):
            self._worker.log.exception("Worker %s: cannot end job %s", self._worker.name, run.job_id)
            end = ends.failed(run, "failed", "the worker could not record how the job ended; see its log")
        finally:
            self._report(run, end)
            # The task knows the run by its context: as a circle they would wait for the garbage collector.
            run.task = run.abandon = None
            run.over = True
            if not run.in_thread:
                run.lane.give()

    def _report(self, run: Run, end: End | None) -> None:
        """Takes note of an end; the first counts."""
        if not run.reported:
            run.reported = True
            del self.runs[run.execution]
            if end is not None:
                self._reports.add(end, run)
            self._stir()

    def thread_ended(self, run: Run) -> None:
        """Takes note that a plain function is through; its job may have been reported long ago."""
        run.in_thread = False
        if run.over:
            run.lane.give()

    def _abandon(self, run: Run) -> None:
        """Reports a job whose code does not end when it is cancelled; its slot stays taken until it does."""
        if run.begun:
            self._worker.log.warning(
                "Worker %s: job %s goes on after it was cancelled", self._worker.name, run.job_id
            )
        self.spawn(self._report_without(run))

    async def _report_without(self, run: Run) -> None:
        self._report(run, await conclude(run, self._worker, asyncio.CancelledError()))
        if not run.begun:
            run.lane.give()

    # A Redis that is away, suspended or paused.

    def _look_later(self, lanes: Sequence[Lane]) -> None:
        """Looks at queues again in a while: a paused one has jobs, and waiting for work would not wait."""
        for lane in lanes:
            if not lane.closed:
                lane.closed = True
                if not self._burst:
                    asyncio.get_running_loop().call_later(POLL, self._look_again, [lane])

    def _look_again(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.hungry, lane.closed = True, False
        self._stir()

    def _lose(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._worker.log.error(
                "Worker %s: Redis is away (%s); %d jobs go on", self._worker.name, error, len(self.runs)
            )
            self.spawn(self._reach())

    async def _reach(self) -> None:
        await self._calls.wire.close()
        wait, longest = RECONNECT
        while self._away:
            try:
                await self._calls.connect()
                self._away = False
            except (RedisError, OSError):
                # Spread, so that not all workers come back at once.
                await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311
                wait = min(wait * 2, longest)
        self._look_again(self.lanes)


def _make_lane(worker: AsyncWorker, queue: str, freed: Callable[[], None]) -> Lane:
    options = worker.options
    slots = options.concurrency.get(queue, options.default_concurrency)
    return Lane(queue, slots=slots, parking=options.parked, freed=freed)
