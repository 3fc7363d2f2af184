"""A way to a server that a test can close, silence, or have break when a word is spoken on it."""

import asyncio
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import define, field


@define
class Trap:
    """Breaks a connection instead of handing on what holds a word.

    Args:
        side: Who speaks it: `command` or `answer`.
        word: The word.
        silent: Whether it is not broken: this and all that follows is held, on all connections.
        for_good: Whether nobody gets through afterwards.
        one_sided: Whether the server's end stays open: it does not learn that nobody is there any more.
        passes: How many pieces that hold the word are handed on before.
        sprung: Set when it has happened.
    """

    side: str
    word: bytes
    silent: bool = False
    for_good: bool = False
    one_sided: bool = False
    passes: int = 0
    sprung: asyncio.Event = field(factory=asyncio.Event, init=False)

    def catches(self, side: str, piece: bytes) -> bool:
        """Tells whether this is the piece that waits for it."""
        if self.side != side or self.word not in piece:
            return False
        self.passes -= 1
        return self.passes < 0


class Crossing:
    """Relays a port of its own to a server's, in the test's loop.

    Args:
        url: The server's.

    Attributes:
        trips: How often something was said to the server after it had answered, or first of all, on whatever
            connection.
    """

    def __init__(self, url: str) -> None:
        self.trips = 0
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._trap: Trap | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The server's URL, by way of this."""
        told = self._target
        return told._replace(netloc=told.netloc.replace(f":{told.port}", f":{self._port}")).geturl()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuses connections and ends those there are."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Takes connections and words and hands nothing on, like a server that is frozen."""
        self._speaks.clear()

    def speak(self) -> None:
        """Hands on what was held, and what comes."""
        self._speaks.set()

    def set_trap(self, side: str, word: bytes, **what: Any) -> Trap:
        """Waits for a word, once: see `Trap`."""
        self._trap = Trap(side, word, **what)
        return self._trap

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, back}
        ways = [("command", reader, back), ("answer", there, writer)]
        spoken: list[str] = []
        tasks = [asyncio.create_task(self._hand_on(*way, spoken)) for way in ways]
        ended, going = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in going:
            task.cancel()
        sprung = [task.result() for task in ended if task.exception() is None]
        writer.transport.abort()
        if not any(trap is not None and trap.one_sided for trap in sprung):
            back.transport.abort()

    async def _hand_on(
        self, side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoken: list[str]
    ) -> Trap | None:
        """Hands on what is spoken until one side hangs up, or a trap is sprung; returns the trap."""
        while piece := await reader.read(65_536):
            self.trips += side == "command" and spoken != ["command"]
            spoken[:] = [side]
            trap = self._trap
            if trap is not None and trap.catches(side, piece):
                self._trap = None
                trap.sprung.set()
                if not trap.silent:
                    if trap.for_good:
                        self.close()
                    return trap
                self.silence()
            await self._speaks.wait()
            writer.write(piece)
        return None
