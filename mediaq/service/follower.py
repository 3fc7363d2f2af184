"""Brings the hub its events: from the stream in Redis at once, and from Postgres where nobody told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from loguru import logger
from redis.exceptions import RedisError

from mediaq.errors import reason_of
from mediaq.model import JobEvent
from mediaq.queue.cancelling import cancel
from mediaq.queue.events import AT_ONCE, Entry, Tail
from mediaq.resources import Resources
from mediaq.service.hub import KNOWN, Hub
from mediaq.store import closings
from mediaq.store.closings import Closed, Closing
from mediaq.store.pool import AWAY as POSTGRES_AWAY

# Seconds between two tries to reach a server.
AGAIN = 0.5
EVENTS = frozenset(JobEvent)


class Follower:
    """Follows what is told of all jobs, and looks for what is not.

    Ends of jobs are certain, whether nobody told of one, Redis lost it, or this process had lost Redis: all
    jobs that someone listens to are looked up every few seconds, and at once when Redis is back.

    Args:
        resources: Redis, store and settings.
        hub: Who listens.
    """

    def __init__(self, resources: Resources, hub: Hub) -> None:
        self._store = resources.store
        self._seconds = resources.settings.database.timeout
        self._every = resources.settings.events.look
        self._queues = resources.queues.keys()
        self._hub = hub
        self._tail = Tail(resources.redis)
        self._doubt = asyncio.Event()
        self._looked = asyncio.get_running_loop().time()

    async def load(self) -> None:
        """Learns what was told before this process began; Redis may be away."""
        with suppress(RedisError, OSError, TimeoutError):
            entries = self._ours(await self._tail.load())
            self._hub.replace(entries, self._tail.place)

    async def read(self) -> None:
        """Tells what the stream tells, until it is cancelled."""
        while True:
            try:
                await self._reload()
                while True:
                    await self._tell(await self._tail.read())
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("events are read again: {}", reason_of(error))
            except Exception:  # noqa: BLE001 - a fault in one pass must not end those to come
                logger.exception("reading events failed")
            await self._tail.close()
            await asyncio.sleep(AGAIN)

    async def look(self) -> None:
        """Tells how jobs ended of which the stream does not tell it, until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                await self._look()
            except POSTGRES_AWAY as error:
                logger.warning("ends of jobs are looked for later: {}", reason_of(error))
            except Exception:  # noqa: BLE001 - as above
                logger.exception("looking for ends of jobs failed")

    async def close(self) -> None:
        """Lets Redis go."""
        await self._tail.close()

    async def _reload(self) -> None:
        before = self._hub.place
        entries = self._ours(await self._tail.load())
        missed = [entry for entry in entries if entry.place > before]
        for at in range(0, len(missed), AT_ONCE):
            await self._tell(missed[at : at + AT_ONCE])
        self._hub.replace(entries, self._tail.place)
        self._doubt.set()

    async def _tell(self, batch: Sequence[Entry]) -> None:
        """Tells events in their order, so that an id says of all before it that they were told.

        Where Postgres is away they wait for it: there is no progress meanwhile.
        """
        entries = self._ours(batch)
        ends = {entry.job_id: entry for entry in entries if JobEvent(entry.event).final}
        known: dict[str, Closing | None] = {}
        # Someone may begin to listen while others are looked up.
        while wanted := [
            job_id
            for job_id, end in ends.items()
            if job_id not in known and self._hub.wants(job_id, end.share)
        ]:
            known |= dict.fromkeys(wanted)
            found = await self._store.link.outlast(partial(self._read, wanted))
            known |= {closing.id: closing for closing in found}
        for entry in entries:
            if entry.job_id in known and JobEvent(entry.event).final and known[entry.job_id] is None:
                # Run again meanwhile, or gone.
                continue
            self._hub.tell(entry, known.get(entry.job_id) if JobEvent(entry.event).final else None)

    async def _look(self) -> None:
        began = asyncio.get_running_loop().time()
        jobs, users = self._hub.jobs(), self._hub.users()
        if jobs or users is None or users:
            within = began - self._looked + KNOWN
            found = await closings.find(self._store, jobs, users, within, self._seconds)
            await self._settle(found)
        self._looked = began

    async def _settle(self, found: Sequence[Closed]) -> None:
        for closed in found:
            if closed.gone:
                self._hub.end(closed.id)
        untold = list(
            {
                closed.id
                for closed in found
                if closed.finished_at is not None
                # What is listened to as one job has not been told there.
                and (closed.user_id is None or not self._hub.knows(closed.id, closed.finished_at))
            }
        )
        for at in range(0, len(untold), AT_ONCE):
            for closing in await self._read(untold[at : at + AT_ONCE]):
                self._hub.tell_end(closing)

    async def _read(self, job_ids: Sequence[str]) -> list[Closing]:
        return await closings.read(self._store, job_ids, self._seconds)

    def _ours(self, entries: Sequence[Entry]) -> list[Entry]:
        # Other jobs than mediaq's have no listeners; a newer version may tell what this one does not know.
        return [entry for entry in entries if entry.queue in self._queues and entry.event in EVENTS]


@asynccontextmanager
async def following(resources: Resources) -> AsyncIterator[Hub]:
    """Yields a hub that hears of all jobs while the block runs.

    Args:
        resources: Redis, store and settings.
    """
    hub = Hub()
    follower = Follower(resources, hub)
    await follower.load()
    tasks = [asyncio.create_task(follower.read()), asyncio.create_task(follower.look())]
    try:
        yield hub
    finally:
        hub.close()
        await cancel(tasks)
        await follower.close()
