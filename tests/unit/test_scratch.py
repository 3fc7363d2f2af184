"""Bytes that are put aside: read as often as one likes, and gone with the last who knows of them."""

import os
from pathlib import Path

import pytest

from mediaq.pipelines.scratch import Scratch


async def test_what_is_put_aside_is_read_again_and_again_and_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = os.urandom(1_000_000)
    scratch = await Scratch.of(content)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a look at an empty folder does not block
    assert [await scratch.read() for _ in range(3)] == [content] * 3


def test_its_file_is_closed_with_it() -> None:
    scratch = Scratch(b"content")
    file = scratch._file
    os.fstat(file)
    del scratch
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
