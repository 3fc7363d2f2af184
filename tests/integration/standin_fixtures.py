"""Fixtures: a stand-in with quick jobs under a real uvicorn, and aioboto3's clients for it."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import httpx
import pytest
import pytest_asyncio
import uvicorn
from standin_kit import STATE_SECONDS, Aws, Server
from starlette.applications import Starlette

from mediaq.embedded.standin import create_app


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an app by uvicorn in a thread; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", timeout_keep_alive=60, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            port = listener.getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def fast_standin_url(s3_url: str) -> Iterator[str]:
    """The session's stand-in with quick jobs."""
    with serving(create_app(s3_url=s3_url, seconds_per_state=STATE_SECONDS)) as url:
        yield url


@pytest.fixture
def standin(fast_standin_url: str, s3_url: str, bucket: str) -> Server:
    """The stand-in with an empty ledger and no faults."""
    httpx.delete(f"{fast_standin_url}/_standin/faults").raise_for_status()
    httpx.delete(f"{fast_standin_url}/_standin/calls").raise_for_status()
    return Server(fast_standin_url, s3_url, bucket)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(fast_standin_url: str, s3_url: str) -> AsyncIterator[Aws]:
    """Clients that try once; shared by a module's tests, as making one takes longer than most tests."""
    async with AsyncExitStack() as stack:
        yield Aws(fast_standin_url, s3_url, stack)
