"""How the stand-in reads objects from S3."""

import asyncio
import io

import pytest
from standin_kit import Server

from mediaq.embedded.standin.objects import BLOCK, NoObject, Objects, TooLarge

pytest_plugins = ["standin_fixtures"]


async def test_a_file_of_ranges_reads_as_the_whole_does(server: Server) -> None:
    data = b"".join(number.to_bytes(4) for number in range(3 * BLOCK // 4 + 5))
    key = "a folder/räksmörgås & co.bin"
    server.put(key, data)
    objects = Objects(server.s3_url)
    file = objects.open(server.bucket, key, len(data))
    whole = io.BytesIO(data)

    def compare() -> None:
        for offset in (0, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 5, 1, len(data) - 1, len(data), len(data) + 9):
            for size in (1, 1000, BLOCK, 2 * BLOCK):
                assert file.seek(offset) == whole.seek(offset)
                assert file.read(size) == whole.read(size)
        assert file.seek(-5, io.SEEK_END) == whole.seek(-5, io.SEEK_END)
        assert file.read() == whole.read()

    await asyncio.to_thread(compare)
    await objects.close()


async def test_an_object_that_is_too_large_is_not_read(server: Server) -> None:
    server.put("object", b"12345")
    objects = Objects(server.s3_url)
    assert await objects.read(server.bucket, "object", 5) == b"12345"
    with pytest.raises(TooLarge, match="5 bytes"):
        await objects.read(server.bucket, "object", 4)
    with pytest.raises(NoObject):
        await objects.read(server.bucket, "other", 5)
    await objects.close()
