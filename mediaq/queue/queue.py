"""One RQ queue seen from asyncio: push, count, look, trim."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from rq.job import Job as RQJob
from rq.job import JobStatus as RQStatus

from mediaq.queue import keys
from mediaq.queue.codec import PlainPickle
from mediaq.queue.scripts import load_script

# Finished jobs that one call of forget.lua removes at most, to keep Redis responsive.
TRIM_BATCH = 500


@frozen
class QueuedJob:
    """A job as it is pushed.

    Args:
        id: Letters, digits, `-` and `_`.
        function: Dotted path of what a worker calls, with `args`, which are plain values.
        description: What RQ's tools show.
        timeout: Seconds a run may take.
        result_ttl: Seconds its hash and result stay after success.
        failure_ttl: Seconds they stay after failure.
        retries_left: How often it may still be run again after this run.
        retry_intervals: Seconds before each further run, of all that the job has, the first first.
        meta: Plain values that RQ's tools show beside the job.
    """

    id: str
    function: str
    args: tuple[Any, ...]
    description: str
    timeout: int
    result_ttl: int
    failure_ttl: int
    retries_left: int
    retry_intervals: tuple[int, ...]
    meta: dict[str, Any]


@frozen
class Counts:
    """How many jobs of a queue are where."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    paused: int = 0


@frozen
class Seen:
    """What Redis knows of a job.

    Args:
        status: RQ's status, or None where there is no such job.
        listed: Whether its id is in the list, where a stock worker keeps it before the start, or scheduled.
        running: Whether a worker that runs it still shows signs of life.
        enqueued_at: When it was last pushed, where that is on record.
        error: The last line of its failure, where there is one.
    """

    status: str | None
    listed: bool
    running: bool
    enqueued_at: datetime | None
    error: str | None


class Queue:
    """An RQ queue; other producers and workers on it may be stock RQ.

    Args:
        name: The queue's name.
        redis: An asyncio client that returns bytes.
    """

    def __init__(self, name: str, redis: Redis) -> None:
        self.name = name
        self.redis = redis
        # RQ's Job class wants a client of its own; building a job's hash never uses it.
        self._unused = SyncRedis()
        self._push = load_script(redis, "push")
        self._forget = load_script(redis, "forget")

    async def push(self, job: QueuedJob) -> bool:
        """Pushes a job unless Redis has it open already; repeating it is safe.

        Returns:
            Whether it was pushed now.
        """
        fields = [part for pair in _as_hash(job, self.name, self._unused).items() for part in pair]
        key_list = [
            keys.job(job.id),
            keys.queue(self.name),
            keys.intermediate(self.name),
            keys.QUEUES,
            keys.results(job.id),
            keys.finished(self.name),
            keys.failed(self.name),
            keys.started(self.name),
            keys.executions(job.id),
            keys.scheduled(self.name),
        ]
        return bool(await self._push(keys=key_list, args=[job.id, *fields]))

    async def counts(self) -> Counts:
        """Counts the jobs, in one round trip; entries that have expired do not count."""
        now = datetime.now(UTC).timestamp()
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.llen(keys.queue(self.name))
            pipe.zcount(keys.started(self.name), now, "+inf")
            for ended in (keys.finished(self.name), keys.failed(self.name)):
                # RQ scores what it keeps for ever as -1 or as infinite.
                pipe.zcard(ended)
                pipe.zcount(ended, 0, now)
            pipe.zcard(keys.scheduled(self.name))
            pipe.zcard(keys.deferred(self.name))
            waiting, active, done, past, failed, failed_past, scheduled, deferred = await pipe.execute()
        return Counts(waiting, active, done - past, failed - failed_past, scheduled + deferred)

    async def look(self, job_ids: Sequence[str]) -> list[Seen]:
        """Looks jobs up, in one round trip, without changing anything."""
        # RQ scores an execution 60 s beyond the time at which its worker counts as dead.
        alive = datetime.now(UTC).timestamp() + 60
        async with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(keys.job(job_id), "status", "enqueued_at")
                pipe.lpos(keys.queue(self.name), job_id)
                pipe.lpos(keys.intermediate(self.name), job_id)
                pipe.zscore(keys.scheduled(self.name), job_id)
                pipe.zcount(keys.executions(job_id), alive, "+inf")
                pipe.xrevrange(keys.results(job_id), count=1)
            answers = await pipe.execute()
        return [_seen(*answers[at : at + 6]) for at in range(0, len(answers), 6)]

    async def trim(self, keep: int) -> int:
        """Forgets the oldest finished jobs beyond `keep`, with all their keys; returns how many went.

        Entries of finished and failed jobs that have expired go too, as when RQ cleans its registries up.
        """
        now = datetime.now(UTC).timestamp()
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zremrangebyscore(keys.finished(self.name), 0, now)
            pipe.zremrangebyscore(keys.failed(self.name), 0, now)
            await pipe.execute()
        return int(await self._forget(keys=[keys.finished(self.name)], args=[keep, TRIM_BATCH]))


def _as_hash(job: QueuedJob, queue: str, connection: SyncRedis) -> dict[str, Any]:
    # RQ's own class writes RQ's format: a later RQ that adds a field finds it here as well.
    rq_job = RQJob.create(
        job.function,
        args=job.args,
        id=job.id,
        description=job.description,
        timeout=job.timeout,
        result_ttl=job.result_ttl,
        failure_ttl=job.failure_ttl,
        origin=queue,
        status=RQStatus.QUEUED,
        meta=job.meta,
        serializer=PlainPickle,
        connection=connection,
    )
    rq_job.enqueued_at = datetime.now(UTC)
    rq_job.retries_left = job.retries_left
    rq_job.retry_intervals = list(job.retry_intervals)
    fields: dict[str, Any] = rq_job.to_dict()
    return fields


def _seen(
    fields: list[bytes | None],
    listed: int | None,
    taken: int | None,
    due: float | None,
    running: int,
    results: list[Any],
) -> Seen:
    status, enqueued_at = fields
    return Seen(
        status=status.decode() if status else None,
        listed=not (listed is taken is due is None),
        running=running > 0,
        enqueued_at=datetime.fromisoformat(enqueued_at.decode()) if enqueued_at else None,
        error=_last_line(results[0][1]) if results else None,
    )


def _last_line(result: dict[bytes, bytes]) -> str | None:
    traceback = result.get(b"exc_string")
    if not traceback:
        return None
    lines = zlib.decompress(b64decode(traceback)).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else None
