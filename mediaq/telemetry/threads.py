"""Small servers in threads: they answer also while the event loop is held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Thread


@contextmanager
def running(server: BaseServer) -> Iterator[None]:
    """Has a server answer in a thread while the block runs."""
    thread = Thread(target=server.serve_forever, name="mediaq-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
