"""Objects in S3, over plain HTTP with path-style addresses."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Large enough for few requests, small enough that a film of any length takes little memory.
BLOCK = 512 * 1024
TIMEOUT_SECONDS = 60.0
# moto lets nobody read an object without this header, but does not check the signature.
HEADERS = {
    "authorization": "AWS4-HMAC-SHA256 Credential=standin/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=unchecked"
}


class NoObject(Exception):
    """There is no such bucket or object, or it may not be read."""


class TooLarge(Exception):
    """The object has more bytes than the caller takes.

    Args:
        size: How many it has.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class Objects:
    """The S3 that the stand-in reads media from and writes transcripts to.

    Args:
        s3_url: Its address, such as `http://127.0.0.1:5000`.
    """

    def __init__(self, s3_url: str) -> None:
        self._base = s3_url.rstrip("/")
        # Proxy settings of the environment are not for a server on this machine.
        self._http = httpx.AsyncClient(headers=HEADERS, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._blocking = httpx.Client(headers=HEADERS, timeout=TIMEOUT_SECONDS, trust_env=False)

    def url(self, bucket: str, key: str = "") -> str:
        """Return the address of an object, or of a bucket."""
        return f"{self._base}/{quote(bucket)}/{quote(key)}" if key else f"{self._base}/{quote(bucket)}"

    async def size(self, bucket: str, key: str) -> int:
        """Return an object's size in bytes.

        Raises:
            NoObject: It is not there.
        """
        answer = _found(await self._http.head(self.url(bucket, key)))
        return int(answer.headers["content-length"])

    async def read(self, bucket: str, key: str, most: int) -> bytes:
        """Return the whole of a small object.

        Args:
            bucket: The bucket's name.
            key: The object's key.
            most: How many bytes it may have; of a larger one none is read.

        Raises:
            NoObject: It is not there.
            TooLarge: It has more than `most` bytes.
        """
        async with self._http.stream("GET", self.url(bucket, key)) as answer:
            size = int(_found(answer).headers["content-length"])
            if size > most:
                raise TooLarge(size)
            return await answer.aread()

    async def write(self, bucket: str, key: str, body: bytes) -> None:
        """Store a JSON document.

        Raises:
            NoObject: There is no such bucket.
        """
        _found(
            await self._http.put(
                self.url(bucket, key), content=body, headers={"content-type": "application/json"}
            )
        )

    async def has_bucket(self, bucket: str) -> bool:
        """Tell whether the bucket is there."""
        return (await self._http.head(self.url(bucket))).is_success

    async def make_bucket(self, bucket: str) -> None:
        """Make the bucket, unless it is there."""
        if not await self.has_bucket(bucket):
            (await self._http.put(self.url(bucket))).raise_for_status()

    def open(self, bucket: str, key: str, size: int) -> io.BufferedReader:
        """Open an object as a file that one can seek in; for threads, as its reads block.

        Args:
            bucket: The bucket's name.
            key: The object's key.
            size: The object's size in bytes.
        """
        return io.BufferedReader(_RangedFile(self._blocking, self.url(bucket, key), size), BLOCK)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._blocking.close()


class _RangedFile(io.RawIOBase):
    """Reads an object by HTTP ranges."""

    def __init__(self, client: httpx.Client, url: str, size: int) -> None:
        self._client = client
        self._url = url
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        span = f"bytes={self._position}-{end - 1}"
        data = _found(self._client.get(self._url, headers={"range": span})).content
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _found(answer: httpx.Response) -> httpx.Response:
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
        raise NoObject(str(answer.url))
    return answer.raise_for_status()
