"""Fixtures: a server of this machine that publishes the public keys of tokens, as a JWK set."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from publisher import Publisher, jwk_set, rsa_key


@pytest.fixture(scope="session")
def key() -> RSAPrivateKey:
    return rsa_key()


@pytest.fixture
def publisher(key: RSAPrivateKey) -> Iterator[Publisher]:
    """A server on this machine that publishes the public key as `k1`."""
    publisher = Publisher(answer=jwk_set(k1=key))
    publisher.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.asked += 1
            publisher.free.wait(30)
            self.send_response(publisher.status)
            self.send_header("Content-Length", str(len(publisher.answer)))
            self.end_headers()
            try:
                self.wfile.write(publisher.answer)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that is overridden
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        publisher.url = f"http://127.0.0.1:{server.server_port}/keys"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield publisher
        publisher.free.set()
        server.shutdown()
        thread.join()
