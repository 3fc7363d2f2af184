"""One aioboto3 session a process and one client a service, opened when first needed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

from mediaq.settings import Aws as AwsSettings

LARGE_BODY = 1 << 20
"""Bytes from which on aiohttp warns of a body that is sent at once."""


# Made for each call by its name (`mediaq.aws.limits.limit_of`), and entered while it is made.
WatchCall = Callable[[str], AbstractContextManager[None]]


def unwatched(name: str) -> AbstractContextManager[None]:  # noqa: ARG001 - the shape of WatchCall
    """Tells nobody of a call."""
    return nullcontext()


class Aws:
    """The clients of one event loop; credentials and endpoints come from AWS's own environment variables.

    Args:
        settings: Region, connections and timeouts.
        stack: Closes the clients that were opened.
        watch: Told of each call.
    """

    def __init__(self, settings: AwsSettings, stack: AsyncExitStack, watch: WatchCall) -> None:
        self.settings = settings
        self.watch = watch
        self._stack = stack
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    async def client(self, service: str) -> Any:
        """Returns the client of a service, `rekognition` say."""
        async with self._opening:
            if service not in self._clients:
                self._clients[service] = await self._open(service)
        return self._clients[service]

    async def _open(self, service: str) -> Any:
        # Imported here because it takes half a second, and the service, which shares this code, calls no AWS.
        from aioboto3 import Session
        from botocore.config import Config

        settings = self.settings
        if self._session is None:
            self._session = Session(region_name=settings.region)
        # botocore's own retries neither know what was billed nor what other workers meet: ours do both.
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=settings.connections,
            connect_timeout=min(10.0, settings.call_timeout),
            read_timeout=settings.call_timeout,
        )
        client = await self._stack.enter_async_context(self._session.client(service, config=config))
        client.meta.events.register("before-send", _send_in_pieces)
        return client


def _send_in_pieces(request: Any, **_: Any) -> None:
    """Has a large body, an image say, sent piece by piece; all at once it would hold the event loop."""
    if isinstance(request.body, bytes | bytearray) and len(request.body) > LARGE_BODY:
        request.body = io.BytesIO(request.body)


@asynccontextmanager
async def open_aws(settings: AwsSettings, watch: WatchCall = unwatched) -> AsyncIterator[Aws]:
    """Yields the clients and closes them; opens no connection by itself.

    Args:
        settings: Region, connections and timeouts.
        watch: Told of each call.
    """
    async with AsyncExitStack() as stack:
        yield Aws(settings, stack, watch)
