"""Fixtures: real servers, started when a test first asks for one, shared by the tests of a pytest process."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import frozen

from mediaq.embedded import ports, postgres, s3, valkey
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor

PASSWORD = "test"


@frozen
class Servers:
    """Starts servers that live as long as the session; its guard ends them should the session be killed."""

    folder: Path
    portal: BlockingPortal
    supervisor: Supervisor

    def start(self, process: Process) -> None:
        self.portal.call(self.supervisor.start, [process])


@frozen
class Databases:
    """Makes databases on one Postgres server."""

    portal: BlockingPortal
    admin: "asyncpg.Connection[asyncpg.Record]"
    port: int

    @contextmanager
    def fresh(self, template: str = "template1") -> Iterator[str]:
        """Make a database as a copy of `template`, give its URL, and drop it in the end."""
        name = f"test_{uuid.uuid4().hex}"
        self.portal.call(self.admin.execute, f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield postgres.url(port=self.port, password=PASSWORD, database=name)
        finally:
            self.portal.call(self.admin.execute, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Supervisor(folder)) as supervisor,
    ):
        yield Servers(folder, portal, supervisor)


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    """The session's Valkey, which keeps nothing on disk."""
    port = ports.free_port()
    folder = servers.folder / "valkey"
    servers.start(valkey.process(folder, port=port, password=PASSWORD, settings=valkey.THROWAWAY))
    return valkey.url(port=port, password=PASSWORD)


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The session's Valkey with nothing in it."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    port = ports.free_port()
    folder = servers.folder / "postgres"
    settings = postgres.THROWAWAY
    servers.start(
        postgres.process(folder, port=port, password=PASSWORD, database="mediaq", settings=settings)
    )
    admin = servers.portal.call(asyncpg.connect, postgres.url(port=port, password=PASSWORD))
    yield Databases(servers.portal, admin, port)
    servers.portal.call(admin.close)


@pytest.fixture(scope="session")
def postgres_url(databases: Databases) -> str:
    """The session's Postgres, as its superuser."""
    return postgres.url(port=databases.port, password=PASSWORD)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database of the test's own, empty."""
    with databases.fresh() as address:
        yield address


@pytest.fixture(scope="session")
def s3_url(servers: Servers) -> str:
    """The session's S3 endpoint."""
    port = ports.free_port()
    servers.start(s3.process(servers.folder / "s3", port=port, bucket="session"))
    return s3.url(port=port)


@pytest.fixture
def bucket(s3_url: str) -> str:
    """A bucket of the test's own, empty."""
    name = f"test-{uuid.uuid4().hex}"
    httpx.put(f"{s3_url}/{name}").raise_for_status()
    return name


@pytest.fixture(scope="session")
def standin_url(servers: Servers, s3_url: str, s3_env: dict[str, str]) -> str:
    """The session's AWS stand-in, which reads objects from the session's S3."""
    port = ports.free_port()
    module = [sys.executable, "-m", "mediaq.embedded.standin"]
    options = ["--port", str(port), "--s3-url", s3_url, "--data", str(servers.folder / "standin")]
    ready = partial(ports.answering, f"http://127.0.0.1:{port}/_standin/calls")
    servers.start(Process("standin", [*module, *options], env=s3_env, ready=ready))
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def s3_env(s3_url: str) -> dict[str, str]:
    """AWS's own variables for a client of the session's S3."""
    return {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_S3": s3_url,
    }


@pytest.fixture(scope="session")
def aws_env(s3_env: dict[str, str], standin_url: str) -> dict[str, str]:
    """AWS's own variables for a client of the session's S3 and stand-in."""
    return {**s3_env, "AWS_ENDPOINT_URL": standin_url}
