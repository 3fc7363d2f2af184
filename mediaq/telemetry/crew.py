"""Several processes of one command: whichever is asked for numbers has those of all, each labelled.

Every process answers on a socket in a folder of their own, from a thread, so that one whose event loop is
held is still heard. Nothing is shared in memory or on disk: a process that dies takes nothing of the others
with it, and the counters of the one that follows begin at 0, which Prometheus takes for what it is.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingMixIn, UnixStreamServer
from typing import Any

import msgspec
from attrs import frozen
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from mediaq.telemetry.families import LABEL, pack, unpack
from mediaq.telemetry.meters import gauge
from mediaq.telemetry.threads import running

# Seconds that a process has to tell its numbers.
PATIENCE = 1.0
ENDING = ".sock"


@frozen
class Crew:
    """The processes of one command.

    Args:
        folder: Where their sockets are; nobody else may enter it.
        name: This process's name among them.
    """

    folder: Path
    name: str

    @contextmanager
    def answering(self, registry: CollectorRegistry) -> Iterator[None]:
        """Tells this process's numbers to the others while the block runs."""
        path = self.folder / f"{self.name}{ENDING}"
        # Of one that died under this name.
        path.unlink(missing_ok=True)

        class Answer(BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(pack(registry))

        with _Server(str(path), Answer) as server, running(server):
            yield

    def ask(self) -> list[Metric]:
        """Returns the numbers of all processes, and which of them answered; blocks for a moment."""
        paths = sorted(self.folder.glob(f"*{ENDING}"))
        with ThreadPoolExecutor(max(len(paths), 1)) as threads:
            answers = list(threads.map(_ask, paths))
        up = [((path.stem,), float(answer is not None)) for path, answer in zip(paths, answers, strict=True)]
        found = [family for answer in answers for family in answer or ()]
        return [gauge("process_up", "Whether a process told its numbers.", (LABEL,), up), *found]


def _ask(path: Path) -> list[Metric] | None:
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(path))
            return unpack(_read(line), path.stem)
    except (OSError, msgspec.DecodeError):
        # It has died, is frozen, or is about to begin.
        return None


def _read(line: socket.socket) -> bytes:
    packed = bytearray()
    while piece := line.recv(1 << 16):
        packed += piece
    return bytes(packed)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of one that hung up."""
