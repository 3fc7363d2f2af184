"""A far object read as a file."""

from __future__ import annotations

import io
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from mediaq.pipelines.ranged import BLOCK, KEPT_BLOCKS, RangedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    Fetch = Callable[[int, int], bytes]


def counted(data: bytes) -> tuple[Fetch, list[tuple[int, int]]]:
    """A source of ranges, and the ranges that were asked of it."""
    asked: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return data[start:end]

    return fetch, asked


def test_reads_and_seeks_as_a_file_in_memory_does() -> None:
    choose = random.Random(7)  # noqa: S311  # not for secrets
    data = choose.randbytes(3 * BLOCK + 12_345)
    there, here = RangedFile(lambda start, end: data[start:end], len(data)), io.BytesIO(data)
    for _ in range(200):
        offset, size = choose.randrange(len(data) + 100), choose.randrange(100_000)
        assert there.seek(offset) == here.seek(offset)
        found = there.read(size)
        assert found is not None
        assert here.read(len(found)) == found
        assert found or size == 0 or offset >= len(data)
        assert there.tell() == here.tell()
    assert there.seek(-10, io.SEEK_END) == here.seek(-10, io.SEEK_END)
    assert there.seek(4, io.SEEK_CUR) == here.seek(4, io.SEEK_CUR)
    assert there.readall() == here.read()
    there.seek(0)
    assert there.readall() == data


def test_asks_for_each_aligned_block_once() -> None:
    data = bytes(2 * BLOCK + 10)
    fetch, asked = counted(data)
    file = RangedFile(fetch, len(data))
    for offset in (BLOCK + 5, BLOCK + 500, 2 * BLOCK + 3, 7, BLOCK + 9):
        file.seek(offset)
        file.read(20)
    assert asked == [(BLOCK, 2 * BLOCK), (2 * BLOCK, 2 * BLOCK + 10), (0, BLOCK)]


def test_seeking_and_the_end_of_the_file_ask_for_nothing() -> None:
    fetch, asked = counted(b"")
    file = RangedFile(fetch, 5 * BLOCK)
    assert file.seek(0, io.SEEK_END) == 5 * BLOCK
    assert file.read(10) == b""
    assert asked == []


def test_memory_is_flat_whatever_the_size() -> None:
    size = 64 * BLOCK
    tracemalloc.start()
    try:
        with RangedFile(lambda start, end: bytes(end - start), size) as file:
            while file.read(256 * 1024):
                pass
            _, peak = tracemalloc.get_traced_memory()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (KEPT_BLOCKS + 3) * BLOCK
    assert kept < BLOCK, "closing lets go of the blocks"


def test_a_source_that_gives_less_than_asked_is_an_error_not_an_end() -> None:
    file = RangedFile(lambda _start, _end: b"short", 100)
    with pytest.raises(OSError, match="asked for bytes 0 to 100 of the file, got 5 of 100"):
        file.read(10)


def test_an_error_of_the_source_passes_through_and_is_not_kept() -> None:
    failures = [ConnectionResetError("gone")]

    def fetch(_start: int, _end: int) -> bytes:
        if failures:
            raise failures.pop()
        return b"data"

    file = RangedFile(fetch, 4)
    with pytest.raises(ConnectionResetError, match="gone"):
        file.read(4)
    assert file.read(4) == b"data"


def test_a_closed_file_is_not_read() -> None:
    fetch, asked = counted(b"data")
    file = RangedFile(fetch, 4)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    assert asked == []


def test_nothing_lies_before_the_start() -> None:
    with pytest.raises(ValueError, match="before the start"):
        RangedFile(lambda _start, _end: b"", 4).seek(-5, io.SEEK_END)
