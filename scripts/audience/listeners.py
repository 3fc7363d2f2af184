"""`python -m audience.listeners PORT`: all the listeners, one socket each, in one process.

Reads a bearer token and then the id of a job for each listener, a line each; writes a line when all streams
are open, and when all have ended, a line each, when which job's end was heard of, by the monotonic clock.
"""

import asyncio
import sys
import time

TYPE = "image-processing"
# Connections that are made at once: of more some would wait for a place in the queue of the socket.
AT_ONCE = 100
_END = b"\nevent: completed\n"
_BEGIN = b"\nid: "


class Listener(asyncio.Protocol):
    """A raw client of one job's events."""

    def __init__(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[float | None] = loop.create_future()
        self._request = request
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take the time of the end; what is not needed any more is forgotten."""
        self._heard += data
        if not self.opened.done() and _BEGIN in self._heard:
            self.opened.set_result(None)
        if _END in self._heard and not self.ended.done():
            self.ended.set_result(time.monotonic())
        self._heard = self._heard[-len(_END) :] if self.opened.done() else self._heard

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """Say that nothing follows."""
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_result(None)


async def main(port: int) -> None:
    """Listen to all jobs to their end."""
    token, *jobs = sys.stdin.read().split()
    room = asyncio.Semaphore(AT_ONCE)

    async def listen(job_id: str) -> Listener:
        lines = [
            f"GET /api/queues/{TYPE}/{job_id}/events HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {token}",
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        async with room:
            loop = asyncio.get_running_loop()
            _, listener = await loop.create_connection(lambda: Listener(request), "127.0.0.1", port)
            await listener.opened
        return listener

    listeners = await asyncio.gather(*map(listen, jobs))
    print("open", flush=True)
    # Written at the end: who reads it may not be ready before, and no listener is to wait for that.
    ended = await asyncio.gather(*(listener.ended for listener in listeners))
    print("\n".join(f"{job_id} {moment}" for job_id, moment in zip(jobs, ended, strict=True)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
