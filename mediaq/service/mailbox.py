"""What one listener has yet to be sent: bounded, and of a job's progress only the latest."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

# Bytes that wait for a listener at most, unless a single event is larger.
MOST = 1 << 20


class Mailbox:
    """Takes events for a listener, who may be slow, without ever waiting for it.

    An event takes the place of an earlier one of the same key that still waits. A listener that falls too far
    behind is cut off, and its events are forgotten: the last id that it got tells what it has missed.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, bytes] = {}
        self._size = 0
        self._news = asyncio.Event()
        self.ended = False

    def put(self, key: Hashable, chunk: bytes) -> None:
        """Adds an event, as it is sent.

        Args:
            key: What it is about.
            chunk: The event; listeners share it.
        """
        if self.ended:
            return
        # Taken out and added anew, so that ids are sent in order.
        self._size += len(chunk) - len(self._waiting.pop(key, b""))
        self._waiting[key] = chunk
        if self._size > MOST and len(self._waiting) > 1:
            self._forget()
            self.end()
        self._news.set()

    def end(self) -> None:
        """Takes no more events; what waits is still sent."""
        self.ended = True
        self._news.set()

    async def take(self) -> bytes:
        """Waits for events, and returns all that are there; nothing: there are none to come."""
        if not self._waiting and not self.ended:
            self._news.clear()
            await self._news.wait()
        chunk = b"".join(self._waiting.values())
        self._forget()
        return chunk

    def _forget(self) -> None:
        self._waiting.clear()
        self._size = 0
