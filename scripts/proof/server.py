"""The server: Valkey that keeps every write, killed and started again at will."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from mediaq.embedded import leftovers, ports, valkey

_PASSWORD = "proof"  # noqa: S105 -- guards nothing: the server lives for minutes, on 127.0.0.1
_PATIENCE = 30.0
_POLL = 0.02


class Server:
    """One server with its data.

    Args:
        folder: For its data and its log; whoever supervises the folder ends the server too.
    """

    def __init__(self, folder: Path) -> None:
        port = ports.free_port()
        self.url = valkey.url(port=port, password=_PASSWORD)
        self._folder = folder
        self._command = valkey.process(folder / "valkey", port=port, password=_PASSWORD).command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that serves now, or did last."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it with the data it has, and return when it takes commands.

        Raises:
            TimeoutError: It does not.
        """
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own command
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # It overwrites its environment, by which its supervisor would know it.
        child = leftovers.observe("valkey", self._process.pid, signal.SIGTERM)
        leftovers.record(self._folder, [child] if child else [])
        asyncio.run(self._until_ready())

    def kill(self) -> None:
        """Kill it with SIGKILL: clients get no answer any more; what it answered before is on record."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def _until_ready(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not await valkey.accepting(self.url):  # noqa: ASYNC110 -- there is no event to wait for
                await asyncio.sleep(_POLL)
