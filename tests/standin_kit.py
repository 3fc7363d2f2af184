"""What tests of the stand-in call it by: its own routes, aioboto3's clients, and waits."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aioboto3
import httpx
import uvicorn
from attrs import field, frozen
from botocore.config import Config
from starlette.applications import Starlette

from mediaq.embedded.standin.objects import HEADERS

STATE_SECONDS = 0.05
# One try, and nothing refused before it is sent.
PLAIN = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False)
ENDED = ("SUCCEEDED", "COMPLETED", "FAILED")


@frozen
class Server:
    """A running stand-in and the bucket that a test may fill."""

    http: httpx.Client
    url: str
    s3_url: str
    bucket: str

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Store an object and return its S3Object."""
        url = f"{self.s3_url}/{self.bucket}/{key}"
        self.http.put(url, content=data, headers=HEADERS).raise_for_status()
        return {"S3Object": {"Bucket": self.bucket, "Name": key}}

    def calls(self, **params: str) -> list[dict[str, Any]]:
        """Return the ledger."""
        found: list[dict[str, Any]] = self.http.get(f"{self.url}/_standin/calls", params=params).json()[
            "calls"
        ]
        return found

    def bill(self) -> list[tuple[str, str, str]]:
        """Return item, units and unit of the billed calls."""
        return [(call["item"], call["units"], call["unit"]) for call in self.calls(billed="true")]

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request that no client of AWS would."""
        return await asyncio.to_thread(self.http.request, method, self.url + path, **request)

    async def openai(self, key: str = "key", **body: Any) -> dict[str, Any]:
        """Ask for embeddings as OpenAI's clients do."""
        headers = {"authorization": f"Bearer {key}"}
        found: dict[str, Any] = (await self.send("POST", "/v1/embeddings", json=body, headers=headers)).json()
        return found

    def fault(self, operation: str, kind: str, **rest: Any) -> None:
        """Add a fault."""
        rule = {"operation": operation, "kind": kind, **rest}
        self.http.post(f"{self.url}/_standin/faults", json=rule).raise_for_status()


@frozen
class Aws:
    """aioboto3's clients, opened when first asked for."""

    url: str
    s3_url: str
    session: aioboto3.Session
    stack: AsyncExitStack
    config: Config = PLAIN
    opened: dict[str, Any] = field(factory=dict)

    async def client(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self.opened:
            client = self.session.client(
                service,
                endpoint_url=self.s3_url if service == "s3" else self.url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=self.config,
            )
            self.opened[service] = await self.stack.enter_async_context(client)
        return self.opened[service]

    @asynccontextmanager
    async def at(self, url: str) -> AsyncIterator["Aws"]:
        """Give clients for another stand-in."""
        async with AsyncExitStack() as stack:
            yield Aws(url, self.s3_url, self.session, stack)

    async def call(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Call an operation, named as in Python."""
        answer: dict[str, Any] = await getattr(await self.client(service), operation)(**request)
        return answer


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an app by uvicorn in a thread; gives its address."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
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


async def poll(look: Callable[[], Awaitable[dict[str, Any]]], status: str) -> dict[str, Any]:
    """Ask until the job has ended, and return the last answer."""
    async with asyncio.timeout(10):
        while True:
            answer = await look()
            if answer[status] in ENDED:
                return answer
            await asyncio.sleep(STATE_SECONDS / 2)


async def labelled(aws: Aws, job: str, **request: Any) -> dict[str, Any]:
    """Wait for a label detection and return its first page."""
    return await poll(
        lambda: aws.call("rekognition", "get_label_detection", JobId=job, **request), "JobStatus"
    )


async def transcribed(aws: Aws, name: str) -> dict[str, Any]:
    """Wait for a transcription and return its job."""

    async def look() -> dict[str, Any]:
        answer = await aws.call("transcribe", "get_transcription_job", TranscriptionJobName=name)
        job: dict[str, Any] = answer["TranscriptionJob"]
        return job

    return await poll(look, "TranscriptionJobStatus")
