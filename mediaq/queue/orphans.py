"""Compares what Redis holds for a worker with what it runs: jobs taken over, and starts never heard of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from mediaq.queue import ends, keys
from mediaq.queue.calls import TOKEN
from mediaq.queue.lane import Lane
from mediaq.queue.run import Reason

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from mediaq.queue.claimed import Hash
    from mediaq.queue.heart import Held
    from mediaq.queue.loop import WorkLoop
    from mediaq.queue.run import Run
    from mediaq.queue.worker import AsyncWorker


class Orphans:
    """Looks after every beat.

    Args:
        worker: The worker.
        jobs: What it runs.
        redis: A client of its server.
    """

    def __init__(self, worker: AsyncWorker, jobs: WorkLoop, redis: Redis) -> None:
        self._worker = worker
        self._jobs = jobs
        self._redis = redis
        self._suspects: set[str] = set()

    def compare(self, held: Held, sent: float) -> None:
        """Ends what is no longer ours, and hands back what was started for us without our knowing.

        Args:
            held: (job, execution, queue, state) of each execution that Redis holds for the worker; the state
                is held or canceled.
            sent: When the beat was sent, on the monotonic clock.
        """
        states = {execution: state for _, execution, _, state in held}
        for run in list(self._jobs.runs.values()):
            state = states.get(run.execution)
            if state == "canceled":
                run.interrupt(Reason.CANCELED)
            elif state is None and run.claimed < sent:
                self._jobs.spawn(self._miss(run))
        self._find(held)

    async def _miss(self, run: Run) -> None:
        """Ends a job that another worker has; one that Redis has forgotten goes on: nobody else has it."""
        if await self._redis.exists(keys.job(run.job_id)):
            self._worker.log.warning(
                "Worker %s: job %s was taken over by another worker", self._worker.name, run.job_id
            )
            run.interrupt(Reason.LOST)

    def _find(self, held: Held) -> None:
        jobs = self._jobs
        known, claims = {*jobs.runs, *jobs.unsettled}, jobs.claims
        unknown = {
            execution: (job, queue)
            for job, execution, queue, _ in held
            # The answer to a claim that is under way may tell.
            if execution not in known and execution[:TOKEN] not in claims
        }
        # One that has just ended may still have been held when the beat was sent: it is gone by the next.
        for execution in self._suspects & set(unknown):
            jobs.spawn(self._hand_back(*unknown.pop(execution), execution))
        self._suspects = set(unknown)

    async def _hand_back(self, job_id: str, queue: str, execution: str) -> None:
        self._worker.log.warning(
            "Worker %s: hands job %s back, it never heard of its start", self._worker.name, job_id
        )
        try:
            fields = cast("Hash", await self._redis.hgetall(keys.job(job_id)))
        except (RedisError, OSError):
            # The next beat shows it again.
            self._suspects.add(execution)
            return
        lane = Lane(queue, slots=0, parking=0)
        run = self._jobs.make_run(job_id, execution, fields, lane, datetime.now(UTC))
        self._jobs.report(ends.interrupted(run), run)
