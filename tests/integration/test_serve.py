"""`mediaq serve`: one process or several behind one port, how they end, and the numbers of all of them."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from attrs import frozen
from house import USER, token_for
from numbers_kit import Numbers
from processes import kill_family

from mediaq.embedded import ports
from mediaq.settings import Settings

COMMAND = [sys.executable, "-m", "mediaq.cli", "serve"]
HEADERS = {"Authorization": f"Bearer {token_for(USER)}"}
BODY = json.dumps(
    {"mediaItemId": "m", "text": "Well.", "languageCode": "en", "operations": {"detectSentiment": True}}
).encode()


@pytest.fixture
def port(overrides: dict[str, str]) -> int:
    """Where the service listens; to be named before the settings."""
    overrides["MEDIAQ_SERVICE__PORT"] = str(found := ports.free_port())
    overrides["MEDIAQ_SERVICE__METRICS_PUBLIC"] = "true"
    return found


@frozen
class Service:
    """A service that runs by itself."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def children(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    async def numbers(self) -> Numbers:
        async with httpx.AsyncClient() as http:
            return Numbers.read((await http.get(f"{self.url}/metrics")).text)

    async def up(self) -> dict[str, float]:
        values = (await self.numbers()).values
        return {
            dict(labels)["process"]: value
            for (name, labels), value in values.items()
            if name == "mediaq_process_up"
        }

    async def stop(self, seconds: float = 9) -> int:
        """Asks it to stop; returns its status. It may not use up what requests may take."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(seconds):
            return await self.process.wait()


@asynccontextmanager
async def served(port: int, *options: str) -> AsyncIterator[Service]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        service = Service(process, port)
        async with asyncio.timeout(60), httpx.AsyncClient() as http:
            while process.returncode is None and not await answers(http, service.url):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        yield service
    finally:
        if process.returncode is None:
            kill_family(process.pid)
            await process.wait()


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).is_success
    except httpx.TransportError:
        return False


async def all_up(service: Service, *names: str) -> None:
    async with asyncio.timeout(60):
        while await service.up() != dict.fromkeys(names, 1.0):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.05)


@asynccontextmanager
async def half_a_request(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A request of which half the body has been sent, and which the service has begun to read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /api/queues/text-analysis HTTP/1.1\r\nHost: here\r\nContent-Length: {len(BODY)}\r\n"
    writer.write(f"{head}Authorization: {HEADERS['Authorization']}\r\nExpect: 100-continue\r\n\r\n".encode())
    # Answered when the body is asked for: by then the request is under way.
    assert b"100 Continue" in await reader.readline()
    await reader.readline()
    writer.write(BODY[:10])
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
async def test_asked_to_stop_it_answers_the_requests_it_has_and_takes_no_more(
    port: int, settings: Settings, options: tuple[str, ...]
) -> None:
    async with served(port, *options) as service:
        requests = [half_a_request(port) for _ in range(6)]
        lines = [await request.__aenter__() for request in requests]
        stopping = asyncio.create_task(service.stop())
        async with asyncio.timeout(10):
            while is_open(port):  # noqa: ASYNC110 - another process closes it
                await asyncio.sleep(0.05)
        for _, writer in lines:
            writer.write(BODY[10:])
        for reader, _ in lines:
            assert (await reader.readline()).startswith(b"HTTP/1.1 202")
            assert json.loads((await reader.read()).split(b"\r\n\r\n")[1])["status"] == "waiting"
        status = await stopping
        for request in requests:
            await request.__aexit__(None, None, None)
    assert status == (0 if options else -signal.SIGTERM)


def is_open(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


async def test_a_process_that_is_killed_is_started_again_and_the_others_answer_meanwhile(
    port: int, settings: Settings
) -> None:
    async with served(port, "--workers", "2") as service, httpx.AsyncClient() as http:
        await all_up(service, "1", "2")
        before = service.children
        psutil.Process(min(before)).kill()
        async with asyncio.timeout(60):
            while len(service.children - before) < 1:
                assert (await http.get(f"{service.url}/api/queues", headers=HEADERS)).status_code == 200
        await all_up(service, "1", "2")
        assert len(service.children) == 2
        assert await service.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in before)


async def test_any_process_tells_the_numbers_of_all(port: int, settings: Settings) -> None:
    async with served(port, "--workers", "2") as service:
        await all_up(service, "1", "2")
        for _ in range(20):
            async with httpx.AsyncClient() as http:
                await http.get(f"{service.url}/healthz")
        seen = [await service.numbers() for _ in range(8)]
        name = "mediaq_http_request_seconds_count"
        assert {found.sum(name, route="/healthz") for found in seen} == {20}
        # What is nobody's own stands there once.
        assert seen[0].sum("mediaq_server_up") == 2
        frozen_one = psutil.Process(min(service.children))
        frozen_one.suspend()
        try:
            async with asyncio.timeout(30):
                while sorted((await service.up()).values()) != [0.0, 1.0]:  # noqa: ASYNC110 - over HTTP
                    await asyncio.sleep(0.05)
        finally:
            frozen_one.resume()
        assert await service.stop() == 0


async def test_the_worker_beside_the_service_has_its_numbers_there_too(port: int, settings: Settings) -> None:
    async with served(port, "--with-worker") as service:
        await all_up(service, "service", "worker")
        found = await service.numbers()
        assert found.sum("mediaq_worker_slots", process="worker") == 20
        assert found.sum("mediaq_http_request_seconds_count", process="service") > 0


async def test_several_processes_run_no_jobs(port: int, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--workers", "2", "--with-worker", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"run mediaq worker" in said


async def test_a_port_that_another_has_is_one_line(port: int, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", port)):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--workers", "2", stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith(f"mediaq: service.port: cannot listen at 127.0.0.1, port {port}: ")
