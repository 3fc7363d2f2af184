"""The demo as a client: uploads to S3, posts jobs and follows them, as the web app does."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import msgspec
import stamina
from attrs import frozen

from mediaq.embedded.demo_media import Kind, Medium
from mediaq.embedded.plan import StackInfo
from mediaq.errors import reason_of
from mediaq.model import JobStatus
from mediaq.pipelines.embedding import EMBEDDING
from mediaq.pipelines.image import IMAGE
from mediaq.pipelines.operation import Pipeline
from mediaq.pipelines.text import TEXT
from mediaq.pipelines.video import VIDEO

COST_CENTER = "demo"
POLL_SECONDS = 0.2
# How long the service, or a server behind it, may be away before the demo gives up.
PATIENCE_SECONDS = 60.0
CHUNK_BYTES = 1024 * 1024


@frozen
class Order:
    """A job to ask for.

    Args:
        name: What it is about, for people.
        job_type: Its queue.
        body: The request; names an object by `s3Key` where there is an upload.
        upload: The file that is to be uploaded first.
    """

    name: str
    job_type: str
    body: Mapping[str, Any]
    upload: Path | None = None


class SubTask(msgspec.Struct, frozen=True):
    """Where one operation of a job stands."""

    status: str
    message: str | None = None


class Progress(msgspec.Struct, frozen=True, rename="camel"):
    """How far a job is."""

    current: int = 0
    total: int = 0
    message: str = ""
    sub_tasks: dict[str, SubTask] = {}


class Cost(msgspec.Struct, frozen=True, rename="camel"):
    """What one call costs, in US dollars."""

    operation: str
    item: str
    units: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    certainty: str


class JobState(msgspec.Struct, frozen=True, rename="camel"):
    """A job as the service shows it."""

    status: JobStatus
    progress: Progress = Progress()
    attempts_made: int = 0
    returnvalue: dict[str, Any] | None = None
    failed_reason: str | None = None
    costs: list[Cost] = []


def plan_orders(medium: Medium) -> list[Order]:
    """Return the jobs for a file: every operation there is for its kind, and an embedding of a text."""
    name = medium.path.name.encode(errors="replace").decode()  # a name may be no text
    common = {"mediaItemId": uuid.uuid4().hex, "costCenter": COST_CENTER}
    if medium.kind is Kind.TEXT:
        text = medium.path.read_text("utf-8-sig")
        content = {"contentType": "text", "content": text, "metadata": {"file": name}}
        return [
            Order(name, TEXT.queue, {**common, "text": text, "operations": _all_of(TEXT)}),
            Order(name, EMBEDDING.queue, {**common, **content}),
        ]
    pipeline = IMAGE if medium.kind is Kind.IMAGE else VIDEO
    body = {**common, "s3Key": f"uploads/{common['mediaItemId']}", "operations": _all_of(pipeline)}
    return [Order(name, pipeline.queue, body, upload=medium.path)]


def _all_of(pipeline: Pipeline) -> dict[str, bool]:
    return {operation.name: True for operation in pipeline.operations}


@frozen
class Client:
    """A user of a stack.

    Args:
        api: Talks to the service, with the user's token.
        bucket: Talks to S3; its base URL is the bucket's.
    """

    api: httpx.AsyncClient
    bucket: httpx.AsyncClient

    async def run(self, order: Order, tell: Callable[[JobState], None]) -> JobState:
        """Send a job and follow it until it has ended.

        Args:
            order: The job.
            tell: Told what is seen of it, again and again.

        Returns:
            How it ended: as failed too where it could not be sent or followed.
        """
        try:
            if order.upload:
                await self._upload(order.upload, order.body["s3Key"])
            return await self._follow(await self._post(order), tell)
        except (httpx.HTTPError, OSError) as error:
            failed = JobState(JobStatus.FAILED, failed_reason=_reason(error))
            tell(failed)
            return failed

    async def _upload(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            length = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            answer = await self.bucket.put(key, content=_chunks(file), headers=length)
        answer.raise_for_status()

    async def _post(self, order: Order) -> str:
        # With a key of its own a request that is repeated, its answer lost, starts no second job.
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = await self._ask("POST", f"/api/queues/{order.job_type}", json=order.body, headers=key)
        return str(answer.json()["links"]["self"])

    async def _follow(self, address: str, tell: Callable[[JobState], None]) -> JobState:
        while True:
            answer = await self._ask("GET", address)
            state = msgspec.json.decode(answer.content, type=JobState)
            tell(state)
            if state.status.closed:
                return state
            await asyncio.sleep(POLL_SECONDS)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async for trial in stamina.retry_context(
            on=_is_away, attempts=None, timeout=PATIENCE_SECONDS, wait_max=1
        ):
            with trial:
                answer = await self.api.request(method, path, **options)
                answer.raise_for_status()
        return answer


@asynccontextmanager
async def open_client(stack: StackInfo) -> AsyncIterator[Client]:
    """Talk to a running stack as its user."""
    token = {"Authorization": f"Bearer {stack.tokens['user']}"}
    bucket_url = f"{stack.env['AWS_ENDPOINT_URL_S3']}/{stack.s3_bucket}"
    # A proxy from the environment knows nothing of this machine's own ports.
    client = partial(httpx.AsyncClient, timeout=PATIENCE_SECONDS, trust_env=False)
    async with client(base_url=stack.api_url, headers=token) as api, client(base_url=bucket_url) as bucket:
        yield Client(api, bucket)


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk


def _is_away(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    return isinstance(error, httpx.TransportError)


def _reason(error: Exception) -> str:
    if not isinstance(error, httpx.HTTPStatusError):
        return reason_of(error)
    answer = error.response
    try:
        said = answer.json()["error"]
    except (ValueError, KeyError):
        said = answer.reason_phrase
    return f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code}: {said}"
