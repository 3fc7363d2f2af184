"""A connection that breaks at the worst moment: before a command arrives, or before its answer does."""

import asyncio
import threading
from typing import Self


class Lossy(threading.Thread):
    """Relays a port of its own to a server's, in a thread of its own.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True, name="lossy relay")
        self._target = port
        self._listening = threading.Event()
        self._over: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._words: dict[str, bytes] = {}
        self.port = 0
        self.lost = 0
        # Seconds by which everything arrives later.
        self.delay = 0.0

    def lose(self, which: str, word: bytes) -> None:
        """Cuts the connection instead of handing on the next command or answer that holds the word."""
        self._words[which] = word

    def __enter__(self) -> Self:
        self.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._over.wait()
        server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(
                self._hand_on("command", reader, back), self._hand_on("answer", there, writer)
            )
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort()
            back.transport.abort()

    async def _hand_on(self, which: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if which in self._words and self._words[which] in piece:
                del self._words[which]
                self.lost += 1
                break
            await asyncio.sleep(self.delay)
            writer.write(piece)
        raise ConnectionResetError
