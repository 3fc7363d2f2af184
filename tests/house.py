"""Fixtures: mediaq itself on the real servers: settings, resources, the service, stock RQ's worker."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from attrs import frozen
from penalty import Penalty
from redis import Redis
from rq import SimpleWorker
from servers import Databases

from mediaq.embedded.standin.objects import HEADERS
from mediaq.pipelines.catalog import PIPELINES
from mediaq.resources import Resources, open_resources
from mediaq.service.app import create_app
from mediaq.service.server import Server
from mediaq.settings import Settings, load_settings
from mediaq.store.migrate import load_migrations, migrate
from mediaq.telemetry.telemetry import Telemetry

SECRET = "a secret of the tests, long enough for HS256"
USER, OTHER = "user-1", "user-2"


def token_for(user: str, *, secret: str = SECRET, **claims: Any) -> str:
    """A token that the service under test accepts, unless `claims` say otherwise."""
    return jwt.encode({"sub": user, "exp": 4_102_444_800, **claims}, secret, "HS256")


@pytest.fixture(scope="session")
def schema(databases: Databases) -> Iterator[str]:
    """The name of a database with mediaq's schema and nothing in it, to be copied."""
    with databases.fresh() as url:
        databases.portal.call(migrate, url, load_migrations())
        yield urlsplit(url).path.lstrip("/")


@pytest.fixture
def migrated_url(databases: Databases, schema: str) -> Iterator[str]:
    """A database of the test's own, with mediaq's schema."""
    with databases.fresh(schema) as url:
        yield url


@pytest.fixture
def standin(standin_url: str) -> "StandIn":
    """The session's stand-in, with an empty ledger and no faults."""
    found = StandIn(standin_url)
    found.clear()
    return found


@frozen
class StandIn:
    """The stand-in's own routes."""

    url: str

    def clear(self) -> None:
        self.clear_faults()
        httpx.delete(f"{self.url}/_standin/calls").raise_for_status()

    def clear_faults(self) -> None:
        httpx.delete(f"{self.url}/_standin/faults").raise_for_status()

    def fault(self, operation: str, kind: str, **rest: Any) -> None:
        rule = {"operation": operation, "kind": kind, **rest}
        httpx.post(f"{self.url}/_standin/faults", json=rule).raise_for_status()

    def calls(self, **params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/_standin/calls", params=params).json()["calls"]
        return found

    def billed(self) -> list[dict[str, Any]]:
        return self.calls(billed="true")


@pytest.fixture
def overrides() -> dict[str, str]:
    """Environment variables that a test's other fixtures set before the settings are made."""
    return {}


@pytest.fixture
def impatient(overrides: dict[str, str]) -> None:
    """Has operations give up after one try; to be named before what uses the settings."""
    overrides["MEDIAQ_AWS__PROVIDER_PATIENCE"] = "0"


@pytest.fixture
def settings(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    redis_url: str,
    migrated_url: str,
    bucket: str,
    aws_env: dict[str, str],
    overrides: dict[str, str],
) -> Settings:
    """Settings for the test's own servers, made as a process makes them: from the environment."""
    monkeypatch.chdir(tmp_path)
    environment = {
        **aws_env,
        "REDIS_URL": redis_url,
        "DATABASE_URL": migrated_url,
        "MEDIAQ_AUTH__SECRET": SECRET,
        "MEDIAQ_AWS__BUCKET": bucket,
        "MEDIAQ_AWS__FIRST_POLL": "0.05",
        "MEDIAQ_AWS__FIRST_WAIT": "0.01",
        "MEDIAQ_AWS__PROVIDER_PATIENCE": "20",
        "MEDIAQ_UPKEEP__INTERVAL": "0.2",
        "MEDIAQ_QUEUES__IMAGE_PROCESSING__BACKOFF": "1",
        "MEDIAQ_EMBEDDING__OPENAI_URL": f"{aws_env['AWS_ENDPOINT_URL']}/v1",
        "MEDIAQ_EMBEDDING__OPENAI_KEY": "key",
    }
    for name in [name for name in os.environ if name.startswith(("MEDIAQ_", "RQ_"))]:
        monkeypatch.delenv(name)
    for name, value in {**environment, **overrides}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    async with open_resources(settings) as opened:
        yield opened


@frozen
class Api:
    """The service over HTTP, with what a test does through it."""

    http: httpx.AsyncClient
    settings: Settings
    bucket: str
    s3_url: str

    def as_user(self, user: str, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(user, **claims)}"}

    async def upload(self, key: str, content: bytes) -> None:
        url = f"{self.s3_url}/{self.bucket}/{key}"
        (await self.http.put(url, content=content, headers=HEADERS)).raise_for_status()

    async def post(self, job_type: str, body: Any, user: str = USER, **headers: str) -> httpx.Response:
        url = f"/api/queues/{job_type}"
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.http.post(url, **given, headers={**self.as_user(user), **headers})

    async def accept(self, job_type: str, body: Any, user: str = USER) -> str:
        """Posts a job that must be accepted; returns its id."""
        answer = await self.post(job_type, body, user)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def job(self, job_type: str, job_id: str, user: str = USER) -> dict[str, Any]:
        answer = await self.http.get(f"/api/queues/{job_type}/{job_id}", headers=self.as_user(user))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def run(self, job_type: str, body: Any) -> dict[str, Any]:
        """Posts a job, has stock RQ's worker run what waits, and returns the job."""
        job_id = await self.accept(job_type, body)
        await work(self.settings, job_type, most=1)
        return await self.job(job_type, job_id)


@pytest.fixture
async def api(settings: Settings, bucket: str, s3_url: str) -> AsyncIterator[Api]:
    """The service under a real uvicorn on a free port."""
    async with serving(settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield Api(http, settings, bucket, s3_url)


class serving:  # noqa: N801 - used as a function
    """Serves mediaq in this loop while the block runs; gives its address."""

    def __init__(self, settings: Settings, *, telemetry: Telemetry | None = None) -> None:
        self.server = Server(create_app(settings, telemetry=telemetry), port=0)

    async def __aenter__(self) -> str:
        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:
            assert not self.task.done(), "the service did not start"
            await asyncio.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self.server.should_exit = True
        await self.task


class _ThreadWorker(SimpleWorker):
    """Stock RQ's worker without a process: its timeouts and signals are for main threads only."""

    death_penalty_class = Penalty

    def _install_signal_handlers(self) -> None:
        pass


async def work(settings: Settings, *queues: str, most: int | None = None) -> None:
    """Has stock RQ's worker run what waits in the queues, `most` jobs at most."""

    def run() -> None:
        with Redis.from_url(settings.redis.url) as redis:
            _ThreadWorker(list(queues or PIPELINES), connection=redis).work(burst=True, max_jobs=most)

    await asyncio.to_thread(run)
