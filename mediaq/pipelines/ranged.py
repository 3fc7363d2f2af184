"""A large object far away as a file: seekable, fetched in ranges, in a fixed amount of memory."""

from __future__ import annotations

import io
from functools import lru_cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 20
"""Bytes fetched by one ranged read of a `RangedFile`."""

KEPT_BLOCKS = 8
"""Blocks that a `RangedFile` keeps: sound and pictures often lie apart, and so does the index."""


class RangedFile(io.RawIOBase):
    """A file to read and to seek in, fetched in aligned blocks of which only the last few are kept.

    Closing it, from any thread, makes a `probe` or `thumbnails` that reads from it end with `ValueError`.

    Args:
        read_range: Gives the bytes from `start` up to, not including, `end`; its errors pass through.
        size: The length of the whole in bytes.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._size = size
        self._position = 0
        self._block = lru_cache(KEPT_BLOCKS)(partial(_read_block, read_range, size))

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to `offset`, counted as `io.IOBase.seek` does; nothing is fetched.

        Raises:
            ValueError: The position would lie before the start.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"cannot seek to {origin + offset}, before the start of the file")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io hands a memoryview over
        """Fills `buffer` up to the end of the current block; 0 at the end of the file."""
        if self.closed:
            raise ValueError("read of a closed file")
        if self._position >= self._size:
            return 0
        number, offset = divmod(self._position, BLOCK)
        part = self._block(number)[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        """Lets go of the blocks."""
        self._block.cache_clear()
        super().close()


def _read_block(read_range: Callable[[int, int], bytes], size: int, number: int) -> bytes:
    start, end = number * BLOCK, min((number + 1) * BLOCK, size)
    block = read_range(start, end)
    if len(block) != end - start:
        raise OSError(f"asked for bytes {start} to {end} of the file, got {len(block)} of {end - start}")
    return block
