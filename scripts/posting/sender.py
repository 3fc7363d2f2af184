"""`python -m posting.sender CONNECTIONS SECONDS`: sends image jobs, one after the other on each connection.

Reads a line for each turn, `PORT PATH TOKEN`, and answers it with one: how many jobs were accepted, in how
many seconds. Every job is about a media item and an object of its own.
"""

import asyncio
import itertools
import sys
import time
import uuid

import msgspec

ACCEPTED = b"HTTP/1.1 202 "
_OPERATIONS = {"detectLabels": True, "detectText": True}
_run = uuid.uuid4().hex[:8]
_numbers = itertools.count()


class Connection(asyncio.Protocol):
    """A connection that is kept, and sends the next job as soon as the one before is accepted."""

    def __init__(self, head: bytes, deadline: float) -> None:
        self.accepted = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = head
        self._deadline = deadline
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first job."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole, and send the next job until time is up."""
        self._heard += data
        head, separator, content = self._heard.partition(b"\r\n\r\n")
        if not separator or len(content) < _length(head):
            return
        if not head.startswith(ACCEPTED):
            self._fail(f"the answer is {self._heard.decode()}")
            return
        self._heard = b""
        self.accepted += 1
        if time.perf_counter() < self._deadline:
            self._send()
        else:
            self.ended.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail where an answer was still due."""
        self._fail(f"the connection was lost: {exc}")

    def _send(self) -> None:
        name = f"{_run}-{next(_numbers)}"
        job = {"mediaItemId": name, "s3Key": f"uploads/{name}.jpg", "operations": _OPERATIONS}
        body = msgspec.json.encode(job)
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body))

    def _fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(ConnectionError(why))


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0])


async def send(port: int, path: str, token: str, connections: int, seconds: float) -> tuple[int, float]:
    """Send jobs for some seconds; return how many were accepted, and the seconds until the last one was.

    Raises:
        ConnectionError: One was answered otherwise.
    """
    lines = (f"POST {path} HTTP/1.1", "host: x", f"authorization: Bearer {token}", "")
    head = "\r\n".join(lines).encode()
    loop, began = asyncio.get_running_loop(), time.perf_counter()

    async def connect() -> Connection:
        made = await loop.create_connection(lambda: Connection(head, began + seconds), "127.0.0.1", port)
        return made[1]

    opened = await asyncio.gather(*(connect() for _ in range(connections)))
    await asyncio.gather(*(connection.ended for connection in opened))
    return sum(connection.accepted for connection in opened), time.perf_counter() - began


def main(connections: int, seconds: float) -> None:
    """Send for a turn for each line."""
    for line in sys.stdin:
        port, path, token = line.split()
        accepted, took = asyncio.run(send(int(port), path, token, connections, seconds))
        print(accepted, took, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
