"""S3 objects: looked at, read in part or whole, written, deleted."""

from __future__ import annotations

import asyncio
from typing import IO, Any

from attrs import frozen

from mediaq.aws.calls import call, call_and_read
from mediaq.aws.clients import Aws
from mediaq.errors import Refused, TryAgain

# aioboto3 reads a body in pieces of 1 KB unless told otherwise, which costs three times the CPU.
PIECE = 256 * 1024
# Bytes of one ranged read of `save`.
STRETCH = 8 * 1024 * 1024


@frozen
class ObjectInfo:
    """An object as S3 describes it.

    Args:
        bucket: Its bucket.
        key: Its key.
        size: Bytes.
        etag: Changes when the content does.
    """

    bucket: str
    key: str
    size: int
    etag: str

    @property
    def version(self) -> str:
        """A name of the object that changes when its content does."""
        return f"s3://{self.bucket}/{self.key} {self.etag}"


async def head(aws: Aws, bucket: str, key: str) -> ObjectInfo:
    """Looks at an object.

    Raises:
        Refused: There is no such object.
        ProviderError: S3 cannot be asked for now.
    """
    try:
        answer = await call(aws, "s3", "head_object", Bucket=bucket, Key=key)
    except Refused as refusal:
        raise _missing(refusal, bucket, key) from refusal
    return ObjectInfo(bucket, key, answer["ContentLength"], answer["ETag"])


async def read_start(aws: Aws, bucket: str, key: str, most: int) -> tuple[ObjectInfo, bytes]:
    """Looks at an object and reads its first bytes, `most` at most, in one request.

    Raises:
        Refused: There is no such object, or it is empty.
        ProviderError: S3 cannot be asked for now.
    """

    async def read(answer: dict[str, Any]) -> tuple[ObjectInfo, bytes]:
        size = int(answer["ContentRange"].rpartition("/")[2])
        return ObjectInfo(bucket, key, size, answer["ETag"]), await _body(answer)

    try:
        return await call_and_read(
            aws, "s3", "get_object", read, Bucket=bucket, Key=key, Range=f"bytes=0-{most - 1}"
        )
    except Refused as refusal:
        # No range of nothing can be had.
        if refusal.code == "InvalidRange":
            raise Refused(f"{key} is empty", "EmptyObject") from refusal
        raise _missing(refusal, bucket, key) from refusal


async def read_range(aws: Aws, info: ObjectInfo, start: int, end: int) -> bytes:
    """Reads the bytes from `start` up to, and without, `end`.

    Raises:
        Refused: The object is gone or another one by now.
        ProviderError: S3 cannot be asked for now.
    """
    return await _read(aws, info.bucket, info.key, Range=f"bytes={start}-{end - 1}", IfMatch=info.etag)


async def read(aws: Aws, bucket: str, key: str, *, most: int) -> bytes:
    """Reads a whole object of at most `most` bytes.

    Raises:
        Refused: There is no such object, or it is larger.
        ProviderError: S3 cannot be asked for now.
    """
    info = await head(aws, bucket, key)
    if info.size > most:
        raise Refused(f"s3://{bucket}/{key} has {info.size} bytes; at most {most} are read", "ObjectTooLarge")
    return await _read(aws, bucket, key, IfMatch=info.etag)


async def save(aws: Aws, info: ObjectInfo, file: IO[bytes]) -> None:
    """Reads a whole object into a file, in a fixed amount of memory.

    Raises:
        Refused: The object is gone or another one by now.
        ProviderError: S3 cannot be asked for now.
    """
    for start in range(0, info.size, STRETCH):
        stretch = await read_range(aws, info, start, min(start + STRETCH, info.size))
        await asyncio.to_thread(file.write, stretch)
    await asyncio.to_thread(file.flush)


async def write(aws: Aws, bucket: str, key: str, content: bytes, content_type: str) -> None:
    """Writes a small object.

    Raises:
        ProviderError: S3 did not take it.
    """
    await call(aws, "s3", "put_object", Bucket=bucket, Key=key, Body=content, ContentType=content_type)


async def copy(aws: Aws, bucket: str, key: str, new_key: str) -> None:
    """Copies an object within its bucket (AWS: at most 5 GB in one request).

    Raises:
        Refused: There is no such object.
        ProviderError: S3 cannot be asked for now.
    """
    try:
        source = {"Bucket": bucket, "Key": key}
        await call(aws, "s3", "copy_object", Bucket=bucket, Key=new_key, CopySource=source)
    except Refused as refusal:
        raise _missing(refusal, bucket, key) from refusal


async def delete_all(aws: Aws, bucket: str, prefix: str) -> None:
    """Deletes every object whose key begins with a prefix; there may be none.

    In a bucket that keeps versions the older ones stay, as S3 has it.

    Raises:
        ProviderError: S3 cannot be asked for now, or refuses.
    """
    while True:
        # As many as one request deletes at most: a page of the list.
        page = await call(aws, "s3", "list_objects_v2", Bucket=bucket, Prefix=prefix)
        found = [{"Key": entry["Key"]} for entry in page.get("Contents", ())]
        if not found:
            return
        given = {"Objects": found, "Quiet": True}
        answer = await call(aws, "s3", "delete_objects", Bucket=bucket, Delete=given)
        for error in answer.get("Errors", ()):
            raise TryAgain(f"S3 did not delete {error['Key']}: {error.get('Message')}", error["Code"])


async def _read(aws: Aws, bucket: str, key: str, **condition: Any) -> bytes:
    try:
        return await call_and_read(aws, "s3", "get_object", _body, Bucket=bucket, Key=key, **condition)
    except Refused as refusal:
        raise _missing(refusal, bucket, key) from refusal


async def _body(answer: dict[str, Any]) -> bytes:
    async with answer["Body"] as body:
        return b"".join([piece async for piece in body.content.iter_chunked(PIECE)])


def _missing(refusal: Refused, bucket: str, key: str) -> Refused:
    if refusal.code in ("404", "NoSuchKey", "NotFound"):
        return Refused(f"there is no object s3://{bucket}/{key}", "NoSuchKey")
    return refusal
