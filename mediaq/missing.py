"""Jobs that should wait in Redis and have not moved for long: which of them are in no list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import groupby

from attrs import frozen

from mediaq.model import OpenJob, Place
from mediaq.queue.queue import Queue
from mediaq.queue.seen import Seen
from mediaq.store.open_jobs import START

# Jobs that one round begins to search for at most.
SEARCHED = 1000


@frozen
class Found:
    """A job on record, and what Redis knows of it."""

    job: OpenJob
    seen: Seen


@frozen
class Missed:
    """Since when a push of a job has been missing, by the loop's clock."""

    push: str
    since: float


class Missing:
    """Remembers from round to round which jobs were missing where they should wait, and since when.

    Once is not enough: a stock worker that has taken a job has it in no list either, until it has started it.
    A round searches for what was missing before and for some others, those first that were not searched for
    the longest: what is remembered is bounded, however many jobs wait.

    Args:
        queues: The queues, by job type.
        patience: Seconds after which what is missing is lost.
    """

    def __init__(self, queues: Mapping[str, Queue], patience: float) -> None:
        self._queues = queues
        self._patience = patience
        self._missed: Mapping[str, Missed] = {}
        self._searched = START
        self._doubtful: list[Found] = []
        self._begun = 0

    def begin(self) -> None:
        """Begins a round."""
        self._doubtful, self._begun = [], 0

    def doubt(self, doubtful: Iterable[Found]) -> None:
        """Has this round search for those jobs of a batch whose turn it is; batches come in order."""
        for found in sorted(doubtful, key=_place_of):
            if found.job.id in self._missed:
                self._doubtful.append(found)
            elif self._begun < SEARCHED and _place_of(found) > self._searched:
                self._doubtful.append(found)
                self._searched, self._begun = _place_of(found), self._begun + 1

    async def find_lost(self) -> list[Found]:
        """Ends a round that has seen all jobs; returns those that have been missing for too long.

        Raises:
            redis.RedisError: Redis is away.
        """
        missing = await self._search()
        now = asyncio.get_running_loop().time()
        self._missed = {found.job.id: self._note(found, now) for found in missing}
        if self._begun < SEARCHED:
            # The last of them had its turn.
            self._searched = START
        return [found for found in missing if now - self._missed[found.job.id].since >= self._patience]

    def forget(self) -> None:
        """Forgets what was missing, for another process has looked after the jobs meanwhile."""
        self._missed = {}

    async def _search(self) -> list[Found]:
        missing: list[Found] = []
        for queue, group in groupby(sorted(self._doubtful, key=_queue_of), key=_queue_of):
            doubtful = list(group)
            listed = await self._queues[queue].find_listed([found.job.id for found in doubtful])
            missing += (found for found in doubtful if found.job.id not in listed)
        return missing

    def _note(self, found: Found, now: float) -> Missed:
        before = self._missed.get(found.job.id)
        return before if before and before.push == found.seen.push else Missed(found.seen.push, now)


def _place_of(found: Found) -> Place:
    return Place.of(found.job)


def _queue_of(found: Found) -> str:
    return found.job.type
