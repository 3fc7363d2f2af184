"""Bytes put aside on disk: a job that waits for a provider does not hold its image in memory."""

from __future__ import annotations

import asyncio
import os
import weakref
from tempfile import TemporaryFile


class Scratch:
    """A file without a name, which is gone with the last who knows of it, however a job ends.

    Args:
        content: What it holds.
    """

    def __init__(self, content: bytes) -> None:
        with TemporaryFile(prefix="mediaq-") as file:
            file.write(content)
            file.flush()
            self._file = os.dup(file.fileno())
        self._size = len(content)
        weakref.finalize(self, os.close, self._file)

    @classmethod
    async def of(cls, content: bytes) -> Scratch:
        """Puts bytes aside, beside the event loop."""
        return await asyncio.to_thread(cls, content)

    async def read(self) -> bytes:
        """Reads all of it, beside the event loop."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        return os.pread(self._file, self._size, 0)
