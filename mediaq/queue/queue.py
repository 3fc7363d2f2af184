"""An RQ queue from asyncio: enqueue, follow, cancel and count jobs, a round trip each."""

from __future__ import annotations

import asyncio
import calendar
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.utils import parse_timeout

from mediaq.queue import keys
from mediaq.queue.ages import find_age
from mediaq.queue.backoff import Backoff
from mediaq.queue.codec import StrictPickle
from mediaq.queue.dates import written
from mediaq.queue.handle import Handle
from mediaq.queue.payload import resolve_serializer
from mediaq.queue.prepared import Packer, Prepared
from mediaq.queue.queued import Counts, QueuedJob
from mediaq.queue.scripts import Script, read_script
from mediaq.queue.seen import ABSENT, ALIVE, Seen, find_listed, look
from mediaq.queue.view import JobView, read_view
from mediaq.queue.watch import Watch
from mediaq.queue.wire import Part, Wire, timeout_of

__all__ = ["Counts", "Handle", "Queue", "QueuedJob"]

# Jobs that one call of a script enqueues or removes at most, to keep Redis responsive: about a millisecond.
AT_ONCE = 100


class Queue:
    """An RQ queue; other producers and workers on it may be stock RQ.

    All calls share one connection, made when it is first needed and again after it was lost, and closed with
    the client. A call that fails with redis-py's `ConnectionError` or `TimeoutError` may have had its effect;
    one that enqueues with a `job_id` and `unique=True` can be repeated.

    Args:
        name: The queue's name.
        redis: An asyncio client.
        serializer: RQ's; None: pickles of plain values, which is all that an AsyncWorker reads; `json`;
            `pickle`: pickles of anything, for stock workers; or one's own.
        default_timeout: Seconds, or text such as `1h`, that a job may run which does not say.
        backoff: How long its jobs wait before each retry where they do not say; None: not at all.
    """

    def __init__(
        self,
        name: str,
        redis: Redis,
        *,
        serializer: Any = None,
        default_timeout: int | str = 180,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.redis = redis
        self._serializer = resolve_serializer(serializer)
        dumps = StrictPickle.dumps if serializer is None else self._serializer.dumps
        self._packer = Packer(name, dumps, parse_timeout(default_timeout) or 180, backoff)
        self._wire = Wire(redis, timeout=timeout_of(redis), tied=True)
        self._watch = Watch(redis, self._call)
        self._keys = (keys.queue(name), keys.QUEUES, keys.deferred(name), keys.scheduled(name))

    def prepare(self, function: Any, /, *args: Any, **kwargs: Any) -> Prepared:
        """Returns a job for `enqueue_many`.

        Args:
            function: What to call, a function that a worker can import, or its dotted path.
            args: Its positional arguments.
            kwargs: Its keyword arguments, and what RQ knows as arguments of `enqueue`:

                * `job_timeout`, `result_ttl`, `failure_ttl`, `ttl`: seconds, or texts such as `1h`;
                * `description`, `meta`, `depends_on`, `at_front`, `repeat`, `rate_limit`, `webhooks`;
                * `job_id`; with `unique=True` there must be no job of that id;
                * `on_success`, `on_failure`, `on_stopped`: an `rq.Callback`, or a dotted path;
                * `retry`: an `rq.Retry`, or how often to run it again after a failure, with waits by
                  `backoff`, a `Backoff`, or by the queue's;
                * `args` and `kwargs`, for functions whose parameters have such names.

        Raises:
            TypeError: An argument is no plain value, or one of RQ's is of the wrong type.
            ValueError: One of RQ's arguments is out of its bounds, or the function is of `__main__`.
        """
        return self._packer.pack(function, args, kwargs, written(datetime.now(UTC)))

    async def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> Handle:
        """Enqueues a call, in one round trip.

        Args:
            function: What to call, a function that a worker can import, or its dotted path.
            args: Its positional arguments.
            kwargs: Its keyword arguments, and RQ's, as `prepare` takes them.

        Raises:
            rq.exceptions.DuplicateJobError: `unique=True`, and there is a job of that id.
            TypeError, ValueError: As of `prepare`; nothing was sent.
            redis.RedisError: Redis is away, or refuses.
        """
        now = datetime.now(UTC)
        return await self._send(self._packer.pack(function, args, kwargs, written(now)), now)

    async def enqueue_at(self, when: datetime, function: Any, /, *args: Any, **kwargs: Any) -> Handle:
        """Schedules a call; a scheduler, of an AsyncWorker or a stock one, enqueues it then.

        Args:
            when: RQ counts whole seconds; a time without a zone is local.
            function: As of `enqueue`.
            args: As of `enqueue`.
            kwargs: As of `enqueue`; as in RQ, a scheduled job does not wait for others.

        Raises:
            DuplicateJobError, TypeError, ValueError, redis.RedisError: As of `enqueue`.
        """
        now = datetime.now(UTC)
        return await self._send(self._packer.pack(function, args, kwargs, written(now)), now, _epoch(when))

    async def enqueue_in(
        self, delay: timedelta | float, function: Any, /, *args: Any, **kwargs: Any
    ) -> Handle:
        """Schedules a call so many seconds from now; else as `enqueue_at`."""
        seconds = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        return await self.enqueue_at(datetime.now(UTC) + seconds, function, *args, **kwargs)

    async def enqueue_many(self, jobs: Iterable[Prepared]) -> list[Handle]:
        """Enqueues jobs that `prepare` made, 100 in a round trip.

        A job may wait for one before it.

        Args:
            jobs: The jobs, in order.

        Raises:
            rq.exceptions.DuplicateJobError: There are jobs with ids that `unique=True` claims; the others
                are enqueued.
            ValueError: An id occurs twice, or a job was prepared for another queue; nothing was sent.
            redis.RedisError: Redis is away, or refuses; some jobs may be enqueued.
        """
        batch = list(jobs)
        if len({job.id for job in batch}) < len(batch):
            raise ValueError("two jobs of the batch have the same id")
        if any(job.queue != self.name for job in batch):
            raise ValueError(f"a job of the batch was prepared for another queue than {self.name}")
        left_out: list[str] = []
        for at in range(0, len(batch), AT_ONCE):
            left_out += await self._save(batch[at : at + AT_ONCE], datetime.now(UTC))
        if left_out:
            raise DuplicateJobError(f"there are jobs with these ids already: {', '.join(left_out)}")
        return [Handle(job.id, self) for job in batch]

    def job(self, job_id: str) -> Handle:
        """Returns a handle on a job of this queue, without asking Redis."""
        return Handle(job_id, self)

    async def fetch(self, job_id: str) -> JobView | None:
        """Returns a job as it is now; None where this queue has none of that id.

        Raises:
            redis.RedisError: Redis is away.
        """
        key_list = (keys.job(job_id), keys.results(job_id), keys.scheduled(self.name))
        view = read_view(job_id, await self._run(read_script("view"), key_list, (job_id,)), self._serializer)
        return view if view is not None and view.queue == self.name else None

    async def wait_for_news(self, job: JobView) -> None:
        """Waits until an execution of a job has come to something, or the job has ended without.

        Args:
            job: The job as it is known.

        Raises:
            redis.RedisError: Redis is away.
        """
        await self._watch.wait(job)

    async def cancel(self, job_id: str, *, stays: int | None = None, opening: int | None = None) -> bool:
        """Cancels a job, wherever it stands; what runs is told to stop.

        As in RQ, jobs that wait for it go on waiting, and a stock worker that is told to stop a job calls it
        stopped.

        Args:
            job_id: The job's id.
            stays: Seconds that it is kept; None: for ever, as in RQ.
            opening: The opening of it that is meant (`QueuedJob`); None: any.

        Returns:
            Whether it is cancelled now; not, if it had ended, was cancelled before, or is of another opening.

        Raises:
            rq.exceptions.NoSuchJobError: This queue has no such job.
            redis.RedisError: Redis is away.
        """
        key_list = (keys.job(job_id), keys.queue(self.name), keys.canceled(self.name))
        given = ["" if value is None else value for value in (stays, opening)]
        arguments = (keys.RQ, *_now(), self.name, job_id, *given)
        outcome = await self._run(read_script("fair", "admit", "cancel"), key_list, arguments)
        if outcome == b"absent":
            raise NoSuchJobError(f"queue {self.name} has no job {job_id}")
        return bool(outcome == b"canceled")

    async def remove(self, job_id: str) -> bool:
        """Cancels a job, if it has not ended, and forgets it with its results; repeating it is safe.

        Returns:
            Whether nothing of it is left; not, if it was enqueued anew meanwhile.

        Raises:
            redis.RedisError: Redis is away.
        """
        with suppress(NoSuchJobError):
            await self.cancel(job_id)
        name = self.name
        key_list = (keys.finished(name), keys.failed(name), keys.canceled(name), keys.ended(name))
        return bool(await self._run(read_script("evict", "forget"), key_list, (keys.RQ, name, job_id)))

    async def requeue(self, job_id: str, *, at_front: bool = False) -> None:
        """Puts a job into its queue now: one that ended, was cancelled, is not due, or waits for others.

        Args:
            job_id: The job's id.
            at_front: Whether it goes to the front; one that waits in the queue moves there.

        Raises:
            rq.exceptions.NoSuchJobError: This queue has no such job.
            rq.exceptions.InvalidJobOperation: It is running.
            redis.RedisError: Redis is away.
        """
        lists = (keys.queue(self.name), keys.intermediate(self.name))
        arguments = (keys.RQ, keys.OURS, *_now(), self.name, job_id, int(at_front))
        outcome = await self._run(
            read_script("fair", "admit", "requeue"), (keys.job(job_id), *lists, keys.QUEUES), arguments
        )
        if outcome == b"absent":
            raise NoSuchJobError(f"queue {self.name} has no job {job_id}")
        if outcome == b"started":
            raise InvalidJobOperation(f"job {job_id} is running")

    async def pause(self) -> None:
        """Lets AsyncWorkers take no more of its jobs; what runs goes on. Stock workers do not know of it."""
        await self._call("SADD", keys.PAUSED, self.name)

    async def resume(self) -> None:
        """Lets AsyncWorkers take its jobs again."""
        await self._call("SREM", keys.PAUSED, self.name)

    async def empty(self) -> int:
        """Removes the jobs that wait in the queue now, with all their keys; returns how many.

        Jobs that wait for one of them go on waiting, as in RQ.
        """
        left, removed = await self._call("LLEN", keys.queue(self.name)), 0
        while left > 0:
            went = await self._run(
                read_script("empty"), (keys.queue(self.name),), (keys.RQ, min(left, AT_ONCE))
            )
            if went == 0:
                break
            left, removed = left - went, removed + went
        return removed

    async def counts(self) -> Counts:
        """Counts the jobs, in one round trip; entries that have expired do not count."""
        now = datetime.now(UTC).timestamp()
        name = self.name
        commands: list[tuple[Part, ...]] = [
            ("SISMEMBER", keys.PAUSED, name),
            ("LLEN", keys.queue(name)),
            ("ZCOUNT", keys.started(name), now, "+inf"),
            # RQ scores what it keeps for ever as -1 or as infinite.
            ("ZCARD", keys.finished(name)),
            ("ZCOUNT", keys.finished(name), 0, now),
            ("ZCARD", keys.failed(name)),
            ("ZCOUNT", keys.failed(name), 0, now),
            ("ZCARD", keys.scheduled(name)),
            ("ZCARD", keys.deferred(name)),
        ]
        answers = await asyncio.gather(*(self._call(*command) for command in commands))
        paused, listed, active, done, past, failed, failed_past, *delayed = answers
        waiting, held = (0, listed) if paused else (listed, 0)
        return Counts(waiting, active, done - past, failed - failed_past, sum(delayed), held)

    async def age(self) -> float:
        """Returns the seconds since the oldest job that waits was put into the queue, in two round trips.

        Looked at are the one that is next and the one that came last: what came between them is younger than
        the older of the two, but for one that was put back to the front later than both.
        """
        return await find_age((await self._connect()).call, self.name)

    async def ping(self) -> None:
        """Makes sure that Redis answers.

        Raises:
            redis.RedisError: It is away.
        """
        await self._call("PING")

    async def push(self, job: QueuedJob, seen: Seen = ABSENT) -> bool:
        """Pushes a job if it stands in Redis as it was seen, and does not wait or run there after all.

        Repeating it is safe, and so is doing it late: what was pushed since is no longer as it was seen.

        Args:
            job: The job.
            seen: How it stands in Redis; by default not at all.

        Returns:
            Whether it was pushed now.

        Raises:
            redis.RedisError: Redis is away, or refuses; it may be pushed.
        """
        name = self.name
        key_list = (
            *(keys.job(job.id), keys.queue(name), keys.intermediate(name), keys.QUEUES, keys.results(job.id)),
            *(keys.finished(name), keys.failed(name), keys.started(name), keys.executions(job.id)),
            *(keys.scheduled(name), keys.canceled(name)),
        )
        now = datetime.now(UTC)
        known = (seen.status, seen.push, int(seen.listed))
        arguments = (keys.RQ, ALIVE, written(now), job.id, *known, *job.items(name, now))
        return bool(await self._run(read_script("fair", "admit", "push"), key_list, arguments))

    async def look(self, job_ids: Sequence[str]) -> list[Seen]:
        """Looks jobs up, in two round trips, without changing anything."""
        return await look((await self._connect()).call, self.name, job_ids)

    async def find_listed(self, job_ids: Collection[str]) -> set[str]:
        """Returns those of the jobs that are in the queue's list, or where a stock worker has moved them."""
        return await find_listed((await self._connect()).call, self.name, job_ids)

    async def _send(self, job: Prepared, now: datetime, due: int | None = None) -> Handle:
        if await self._save((job,), now, due):
            raise DuplicateJobError(f"there is a job with the id {job.id} already")
        return Handle(job.id, self)

    async def _save(self, jobs: Iterable[Prepared], now: datetime, due: int | None = None) -> list[str]:
        """Enqueues jobs in one step; returns the ids of those that were left out."""
        arguments: list[Part] = [keys.RQ, now.timestamp(), written(now)]
        for job in jobs:
            arguments += job.arguments(due)
        wire = self._wire if self._wire.connected else await self._connect()
        left_out = await read_script("fair", "admit", "enqueue").run(wire, self._keys, arguments)
        return [job_id.decode() for job_id in left_out]

    async def _run(self, script: Script, key_list: Sequence[Part], arguments: Sequence[Part]) -> Any:
        return await script.run(await self._connect(), key_list, arguments)

    async def _call(self, *command: Part) -> Any:
        return await (await self._connect()).call(*command)

    async def _connect(self) -> Wire:
        if not self._wire.connected:
            await self._wire.connect()
        return self._wire


def _now() -> tuple[float, str]:
    """Returns the time, in seconds since the epoch and as RQ writes it."""
    now = datetime.now(UTC)
    return now.timestamp(), written(now)


def _epoch(when: datetime) -> int:
    # A time without a zone is local; RQ drops fractions of a second.
    return calendar.timegm(when.astimezone(UTC).utctimetuple())
