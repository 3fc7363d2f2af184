"""Compares open jobs with Redis, and pushes or closes what the two do not agree on: accepted is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from attrs import evolve
from loguru import logger
from redis.exceptions import ResponseError

from mediaq.announcements import announce
from mediaq.dispatch import push
from mediaq.missing import Found, Missing
from mediaq.model import Announcement, JobEvent, JobStatus, OpenJob, Place
from mediaq.resources import Resources
from mediaq.store import leases, open_jobs
from mediaq.store.open_jobs import START
from mediaq.verdict import Close, Doubt, Push, decide

LEASE = "reconciler"
# Intervals that the lease outlives its holder's last sign of life.
LEASED = 3
# Ids of pushed jobs that a line of the log names at most.
LOGGED = 10
# Jobs that are compared in a second, on the average of a round and the pause after it; and the longest pause.
PACE, LONGEST_PAUSE = 1000, 20.0


class Reconciler:
    """Compares all open jobs that no living worker holds, in rounds of bounded batches.

    Of all processes one at a time does so, by a lease that it renews between batches. Wherever it crashes,
    the next round finds what is left to do; what goes on record before a push counts once for it.

    Args:
        resources: Store, queues and settings.
        owner: A name that no other has.
    """

    def __init__(self, resources: Resources, owner: str) -> None:
        self._resources = resources
        self._store = resources.store
        self._owner = owner
        self._missing = Missing(resources.queues, resources.settings.upkeep.lost_after)
        self._next = 0.0

    async def run(self) -> None:
        """Makes a round, unless the last one was a moment ago or another process makes them.

        Raises:
            RedisError, OSError, asyncpg.PostgresError: A server is away; call again later.
        """
        time = asyncio.get_running_loop().time
        if time() < self._next:
            await self._hold()
            return
        compared = await self.make_round()
        self._next = time() + min(compared / PACE, LONGEST_PAUSE)

    async def make_round(self) -> int:
        """Compares all jobs, as long as this process holds the lease; returns how many.

        Raises:
            RedisError, OSError, asyncpg.PostgresError: As of `run`.
        """
        self._missing.begin()
        compared = await self._compare_all()
        if compared is None:
            self._missing.forget()
            return 0
        lost = await self._missing.find_lost()
        if lost and await self._hold():
            await self._push_again([(found, Push()) for found in lost])
        return compared

    async def close(self) -> None:
        """Lets another process take over at once."""
        await leases.drop(self._store, LEASE, self._owner)

    async def _hold(self) -> bool:
        seconds = LEASED * self._resources.settings.upkeep.interval
        return await leases.hold(self._store, LEASE, self._owner, seconds)

    async def _compare_all(self) -> int | None:
        """Compares the jobs in the order of their acceptance; returns how many, None without the lease."""
        types, most = tuple(self._resources.queues), self._resources.settings.upkeep.batch
        place, compared = START, 0
        while await self._hold():
            batch = await open_jobs.read(self._store, types, place, most)
            doubtful: list[Found] = []
            for queue, jobs in groupby(sorted(batch, key=_type_of), key=_type_of):
                doubtful += await self._compare(queue, list(jobs))
            self._missing.doubt(doubtful)
            compared += len(batch)
            if len(batch) < most:
                return compared
            place = Place.of(batch[-1])
        return None

    async def _compare(self, queue: str, batch: Sequence[OpenJob]) -> list[Found]:
        """Compares jobs of one type; returns those that may be in no list."""
        now = datetime.now(UTC)
        pushes: list[tuple[Found, Push]] = []
        doubtful: list[Found] = []
        seen = await self._resources.queues[queue].look([job.id for job in batch])
        for found in map(Found, batch, seen):
            match decide(found.job, found.seen, self._resources.settings, now):
                case Push() as verdict:
                    pushes.append((found, verdict))
                case Doubt():
                    doubtful.append(found)
                case Close(reason, trace):
                    if await open_jobs.close(self._store, found.job, reason, trace):
                        logger.warning("job {} is closed: {} {}", found.job.id, reason, trace)
                        await self._tell(found.job, JobEvent.FAILED)
        await self._push_again(pushes)
        return doubtful

    async def _push_again(self, pushes: Sequence[tuple[Found, Push]]) -> None:
        ready = await self._find_leftovers(await self._put_on_record(pushes))
        pushed = await asyncio.gather(
            *(push(self._resources, found.job, found.seen) for found in ready), return_exceptions=True
        )
        stalled = {found.job.id for found, verdict in pushes if _has_stalled(found, verdict)}
        for found, outcome in zip(ready, pushed, strict=True):
            if outcome is True and found.job.id in stalled:
                await self._tell(found.job, JobEvent.STALLED)
        _raise_what_is_not_the_jobs_own(pushed)
        _log(ready, pushed)

    async def _tell(self, job: OpenJob, event: JobEvent) -> None:
        await announce(self._resources.redis, Announcement(job, event))

    async def _put_on_record(self, pushes: Sequence[tuple[Found, Push]]) -> list[Found]:
        """Puts on record what goes before the pushes; returns the jobs that nobody has touched since.

        A job that ran to its end between the looks at Postgres and at Redis is not among them.
        """
        ready: set[str] = set()
        others: list[OpenJob] = []
        for found, verdict in pushes:
            if verdict.death:
                goes_on = await open_jobs.count_death(self._store, found.job, found.seen.push)
            elif verdict.unused and found.job.status is JobStatus.ACTIVE:
                goes_on = await open_jobs.hand_back(self._store, found.job)
            else:
                others.append(found.job)
                continue
            ready |= {found.job.id} if goes_on else set()
        if others:
            ready |= await open_jobs.untouched(self._store, others)
        return [found for found, _ in pushes if found.job.id in ready]

    async def _find_leftovers(self, ready: list[Found]) -> list[Found]:
        """Finds out which of the jobs that Redis does not know have left their ids in the list."""
        left: set[str] = set()
        for queue, group in groupby(ready, key=lambda found: found.job.type):
            if absent := [found.job.id for found in group if not found.seen.status]:
                left |= await self._resources.queues[queue].find_listed(absent)
        return [evolve(found, seen=evolve(found.seen, listed=found.job.id in left)) for found in ready]


def _type_of(job: OpenJob) -> str:
    return job.type


def _has_stalled(found: Found, verdict: Push) -> bool:
    """Tells whether a job is pushed again since its worker died, or has let its lease run out."""
    return verdict.death or (found.job.status is JobStatus.ACTIVE and not verdict.unused)


def _raise_what_is_not_the_jobs_own(outcomes: Sequence[bool | BaseException]) -> None:
    for outcome in outcomes:
        # A refusal may be about this job's keys alone; the others go on.
        if isinstance(outcome, BaseException) and not isinstance(outcome, ResponseError):
            raise outcome


def _log(ready: Sequence[Found], outcomes: Sequence[bool | BaseException]) -> None:
    pushed = [found for found, outcome in zip(ready, outcomes, strict=True) if outcome is True]
    if pushed:
        states = Counter(found.seen.status or "absent" for found in pushed)
        known = ", ".join(f"{status} ({number})" for status, number in states.items())
        ids = ", ".join(found.job.id for found in pushed[:LOGGED])
        logger.warning("{} jobs are pushed again, for Redis had them as {}: {}", len(pushed), known, ids)
    for found, outcome in zip(ready, outcomes, strict=True):
        if isinstance(outcome, ResponseError):
            logger.error("job {} cannot be pushed again: {}", found.job.id, outcome)
