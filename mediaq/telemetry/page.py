"""The page of a worker's numbers, at `/metrics` on a port of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry

from mediaq.telemetry.crew import Crew
from mediaq.telemetry.families import CONTENT_TYPE, write_page
from mediaq.telemetry.threads import running

PATH = "/metrics"


def showing_own(listener: socket.socket, registry: CollectorRegistry) -> AbstractContextManager[None]:
    """Shows one process's numbers while the block runs."""
    return showing_page(listener, lambda: write_page(registry.collect()))


@contextmanager
def showing_all(listener: socket.socket, crew: Crew, registry: CollectorRegistry) -> Iterator[None]:
    """Shows the numbers of all processes of a command, of which this is one, while the block runs."""
    with crew.answering(registry), showing_page(listener, lambda: write_page(crew.ask())):
        yield


@contextmanager
def showing_page(listener: socket.socket, write: Callable[[], bytes]) -> Iterator[None]:
    """Shows a page while the block runs.

    Args:
        listener: Where it is asked for; closed at the end.
        write: Returns it; called from any thread.
    """

    class Show(BaseHTTPRequestHandler):
        # Seconds a client may be silent.
        timeout = 10

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            page = write()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in http.server
            """Says nothing of each look at the numbers."""

    with _Server(listener, Show) as server, running(server):
        yield


class _Server(ThreadingHTTPServer):
    """Serves on a socket that listens already."""

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        # macOS: what is accepted does not block either.
        request.setblocking(True)
        return request, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of one that hung up."""
