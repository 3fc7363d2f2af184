"""A provider of text analysis that counts its calls, and answers each as it is told."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Self

from attrs import define

Manner = Literal["answer", "slow", "late", "drop", "throttle"]

ANSWERS: dict[str, Any] = {
    "DetectDominantLanguage": {"Languages": [{"LanguageCode": "en", "Score": 0.9}]},
    "DetectSentiment": {"Sentiment": "POSITIVE", "SentimentScore": {"Positive": 0.9}},
    "DetectKeyPhrases": {"KeyPhrases": []},
}
# Seconds until an answer: of a slow one, and of one that comes too late.
SLOW, LATE = 0.2, 1.3


@define
class Call:
    """One call.

    Args:
        id: The provider's id of its answer.
        owner: Who made it.
        action: What was asked.
        manner: How it is answered: `late` and `drop` do the work, and the answer is lost.
        answered: Whether the answer has gone out.
    """

    id: str
    owner: str
    action: str
    manner: Manner
    answered: bool = False

    @property
    def billed(self) -> bool:
        """Whether the work is done."""
        return self.manner != "throttle"


class Provider:
    """Speaks as much of Amazon Comprehend's protocol as it takes.

    Args:
        manners: How the first calls are answered, in the order in which they come; those after them at once.
        witness: Told of each call before it is answered.
    """

    def __init__(self, manners: Sequence[Manner], witness: Callable[[Call], Awaitable[None]]) -> None:
        self.calls: list[Call] = []
        self._manners = iter(manners)
        self._witness = witness
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def url_for(self, owner: str) -> str:
        """The address by which calls are told to be an owner's."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{owner}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # its owner is no more, or the test is over
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        await reader.readexactly(int(headers["content-length"]))
        action = headers["x-amz-target"].rpartition(".")[2]
        call = Call(uuid.uuid4().hex, request.split()[1].strip("/"), action, next(self._manners, "answer"))
        self.calls.append(call)
        await self._witness(call)
        if call.manner == "drop":
            return False
        await asyncio.sleep({"slow": SLOW, "late": LATE}.get(call.manner, 0))
        status, body = (200, ANSWERS[action]) if call.billed else (400, {"__type": "ThrottlingException"})
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} -\r\nx-amzn-RequestId: {call.id}\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        call.answered = True
        return True
