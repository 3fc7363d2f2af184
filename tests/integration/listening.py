"""A client of event streams in tests: reads events as they come, and how a stream ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from attrs import define, field, frozen

# Seconds until an event that must come counts as lost.
SOON = 10.0


@frozen
class Event:
    id: str
    event: str
    data: Any


@define
class Stream:
    """An open stream."""

    response: httpx.Response
    lines: AsyncIterator[str]
    retry: int | None = None
    last_id: str = ""
    comments: list[str] = field(factory=list)

    async def next(self, *, within: float = SOON) -> Event:
        """The next event, which must come."""
        async with asyncio.timeout(within):
            event = await self._next()
        assert event is not None, "the stream has ended"
        return event

    async def until(self, *names: str, within: float = SOON) -> list[Event]:
        """The events up to the first of one of these names."""
        found: list[Event] = []
        async with asyncio.timeout(within):
            while not found or found[-1].event not in names:
                event = await self._next()
                assert event is not None, f"the stream has ended after {found}"
                found.append(event)
        return found

    async def rest(self, *, within: float = SOON) -> list[Event]:
        """The events up to the end of the stream."""
        found: list[Event] = []
        async with asyncio.timeout(within):
            while (event := await self._next()) is not None:
                found.append(event)
        return found

    async def opened(self) -> None:
        """Returns when the service has begun the stream, or sent the next comment."""
        async with asyncio.timeout(SOON):
            async for line in self.lines:
                if not line:
                    return
                self._read(line)

    async def _next(self) -> Event | None:
        fields: dict[str, str] = {}
        async for line in self.lines:
            if not line and "data" in fields:
                return Event(self.last_id, fields["event"], json.loads(fields["data"]))
            name, value = self._read(line)
            fields[name] = value
        return None

    def _read(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(": ")
        if name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry = int(value)
        elif line.startswith(":"):
            self.comments.append(value)
        return name, value


@asynccontextmanager
async def listening(
    http: httpx.AsyncClient, path: str, headers: dict[str, str], last_id: str = ""
) -> AsyncIterator[Stream]:
    """Opens a stream, which must be given."""
    given = {**headers, "Last-Event-ID": last_id} if last_id else headers
    async with http.stream("GET", path, headers=given) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response, response.aiter_lines())
