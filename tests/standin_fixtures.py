"""Fixtures: a stand-in with quick jobs under a real uvicorn, and aioboto3's clients for it."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import aioboto3
import httpx
import pytest
import pytest_asyncio
from standin_kit import STATE_SECONDS, Aws, Server, serving

from mediaq.embedded.standin import create_app


@pytest.fixture(scope="session")
def fast_standin_url(s3_url: str) -> Iterator[str]:
    """The session's stand-in with quick jobs."""
    with serving(create_app(s3_url=s3_url, seconds_per_state=STATE_SECONDS)) as url:
        yield url


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """One client, because each loads certificates anew."""
    with httpx.Client() as client:
        yield client


@pytest.fixture
def server(fast_standin_url: str, s3_url: str, http: httpx.Client) -> Server:
    """The stand-in with an empty ledger and no faults, and a new bucket."""
    bucket = f"test-{uuid.uuid4().hex}"
    http.put(f"{s3_url}/{bucket}").raise_for_status()
    http.delete(f"{fast_standin_url}/_standin/faults").raise_for_status()
    http.delete(f"{fast_standin_url}/_standin/calls").raise_for_status()
    return Server(http, fast_standin_url, s3_url, bucket)


@pytest.fixture(scope="session")
def aws_session() -> aioboto3.Session:
    """One session, because each reads the service models anew."""
    return aioboto3.Session()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(fast_standin_url: str, s3_url: str, aws_session: aioboto3.Session) -> AsyncIterator[Aws]:
    """Clients that try once; shared by a module's tests, as making one takes longer than most tests."""
    async with AsyncExitStack() as stack:
        yield Aws(fast_standin_url, s3_url, aws_session, stack)
