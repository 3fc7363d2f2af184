"""A receiver of webhooks on a port of its own, which answers as a test tells it."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from attrs import frozen

KEY = b"twenty-four bytes or more of it"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@frozen
class Got:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed(self, key: bytes = KEY) -> bool:
        """Verifies it as a receiver that knows the specification and nothing of mediaq."""
        timestamp = self.headers["webhook-timestamp"]
        signed = f"{self.id}.{timestamp}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return (
            expected in self.headers["webhook-signature"].split() and abs(time.time() - int(timestamp)) < 60
        )


class Receiver:
    """Collects what it gets while the block runs.

    Args:
        answer: The status, and further headers if any, of the answer to each request.
        tls: Makes it speak HTTPS.
    """

    def __init__(
        self, answer: Callable[[Got], str] = lambda _: "200 OK", tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.got: list[Got] = []
        self.free = asyncio.Event()
        self.free.set()
        self.at_once = self.most_at_once = 0
        self.port = 0
        self._tls = tls
        self._came = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.free.set()
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def wait(self, count: int = 1, seconds: float = 20) -> list[Got]:
        """Returns what has come once there is so much of it."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.got) >= count)
        return self.got

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
        got = Got(line, headers, await reader.readexactly(int(headers["content-length"])))
        async with self._came:
            self.got.append(got)
            self._came.notify_all()
        # Who asks may give up meanwhile.
        ways = [asyncio.create_task(self.free.wait()), asyncio.create_task(reader.read())]
        _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        writer.write(f"HTTP/1.1 {self.answer(got)}\r\nContent-Length: 2\r\n\r\nok".encode())
        await writer.drain()
