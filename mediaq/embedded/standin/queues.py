"""Queues as SQS keeps them: long polling, redelivery of what is not deleted, any number of receivers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from uuid import uuid4

from attrs import define, field


@define(eq=False)
class Message:
    """A message; `handle` is of its latest receipt, `visible` the moment from which on others receive it."""

    body: str
    id: str = field(factory=lambda: str(uuid4()))
    handle: str = ""
    visible: float = 0.0


class Queue:
    """One queue, in memory."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self._sent = asyncio.Event()

    def send(self, body: str) -> Message:
        """Put a message in."""
        message = Message(body)
        self._messages[message.id] = message
        # Whoever waits has the old event: each message wakes all.
        self._sent.set()
        self._sent = asyncio.Event()
        return message

    async def receive(self, most: int, wait: float, hidden: float) -> list[Message]:
        """Take messages for a while; what is not deleted in that time is received again.

        Args:
            most: How many at most.
            wait: Seconds to wait for the first.
            hidden: Seconds for which nobody else receives them.
        """
        end = time.monotonic() + wait
        while not (found := self._take(most, hidden)) and (left := end - time.monotonic()) > 0:
            returns = [message.visible - time.monotonic() for message in self._messages.values()]
            await _wait(self._sent, max(0.0, min([left, *returns])))
        return found

    def delete(self, handle: str) -> None:
        """Delete a message by its latest receipt; an older receipt deletes nothing."""
        gone = [message.id for message in self._messages.values() if message.handle == handle]
        for each in gone:
            del self._messages[each]

    def _take(self, most: int, hidden: float) -> list[Message]:
        now = time.monotonic()
        found = [message for message in self._messages.values() if message.visible <= now][:most]
        for message in found:
            message.handle, message.visible = uuid4().hex, now + hidden
        return found


class Queues:
    """The account's queues; each is fed by the topic of its name and by Transcribe's events.

    Args:
        names: The names of the queues that there are.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._queues = {name: Queue() for name in names}

    def find(self, name: str) -> Queue | None:
        """Return the queue of that name."""
        return self._queues.get(name)

    def every(self) -> Iterable[Queue]:
        """Return all queues."""
        return self._queues.values()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
