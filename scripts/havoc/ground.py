"""What faults act upon: the processes, and ways to the servers that do not lead through mediaq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
from attrs import field, frozen
from redis.asyncio import Redis

from havoc.crew import Crew
from havoc.faults import Fault
from mediaq.embedded import leftovers

# Seconds to wait for a server that is to answer a question about the run.
TIMEOUT = 5.0
# Seconds that calls to the stand-in take at least: as slow as AWS, so that faults meet them; and of different
# lengths, so that they meet jobs of which a part is on record.
PACE: Mapping[str, float] = {
    "DetectLabels": 0.4,
    "DetectText": 0.9,
    "DetectFaces": 1.6,
    "DetectModerationLabels": 2.5,
    "DetectDominantLanguage": 0.3,
    "DetectSentiment": 0.6,
    "DetectEntities": 1.3,
    "DetectKeyPhrases": 2.2,
    "InvokeModel": 1.2,
}
# What asyncpg raises where Postgres is away or cuts the connection.
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The name by which a job is held is host, process id and more.
_UNDER_WAY = """
select id from jobs
where status = 'active' and ($1::text[] is null or split_part(lease_owner, ':', 2) = any($1::text[]))
"""


@frozen
class Ground:
    """What faults act upon.

    Args:
        crew: The processes.
        standin: A client of the stand-in's own routes.
        quiet: Set once no job is open any more: what waits for calls need not wait longer.
    """

    crew: Crew
    standin: httpx.AsyncClient
    quiet: asyncio.Event = field(factory=asyncio.Event)

    @asynccontextmanager
    async def turns(self, fault: Fault) -> AsyncIterator[None]:
        """Have a fault's targets to oneself while the block runs."""
        async with AsyncExitStack() as stack:
            for target in sorted(fault.targets):
                await stack.enter_async_context(self.crew.actors[target].turn)
            yield

    async def under_way(self) -> frozenset[str]:
        """Return the ids of the jobs that run; none where Postgres is away and nobody knows."""
        return await self._under_way(None)

    async def under_way_on(self, workers: Collection[str]) -> frozenset[str]:
        """Return the ids of the jobs that run on some workers; none where Postgres is away."""
        return await self._under_way([pid for worker in workers for pid in await self._pids(worker)])

    async def ask_standin(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Ask the stand-in something, between the faults that keep it away.

        Raises:
            httpx.HTTPError: It has no answer.
        """
        async with self.crew.actors["standin"].turn:
            return (await self.standin.request(method, path, **request)).raise_for_status()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """Yield a client of Redis with a connection of its own."""
        async with Redis.from_url(self.crew.info.redis_url, socket_timeout=TIMEOUT) as client:
            yield client

    @asynccontextmanager
    async def postgres(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection to Postgres.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError: It is away.
        """
        connection = await asyncpg.connect(
            self.crew.info.database_url, timeout=TIMEOUT, command_timeout=TIMEOUT
        )
        try:
            yield connection
        finally:
            connection.terminate()

    async def _under_way(self, pids: list[str] | None) -> frozenset[str]:
        try:
            async with self.postgres() as connection:
                return frozenset(row["id"] for row in await connection.fetch(_UNDER_WAY, pids))
        except AWAY:
            return frozenset()

    async def _pids(self, worker: str) -> list[str]:
        """Return the ids of a worker's processes: a stock worker's children run its jobs."""
        pid = await self.crew.actors[worker].running()
        children = await asyncio.to_thread(leftovers.descendants, pid)
        return [str(pid), *(str(child.pid) for child in children)]


@asynccontextmanager
async def open_ground(crew: Crew) -> AsyncIterator[Ground]:
    """Open the ways to the servers, and slow the stand-in down to the pace of the real services."""
    address = f"{crew.info.aws_endpoint_url}/_standin/"
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT, trust_env=False) as standin:
        for operation, seconds in PACE.items():
            rule = {"operation": operation, "kind": "latency", "seconds": seconds, "times": None}
            (await standin.post("faults", json=rule)).raise_for_status()
        yield Ground(crew, standin)
