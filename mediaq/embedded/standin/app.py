"""The stand-in as a Starlette app: the services' protocols around the operations, the bill and the faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from mediaq.embedded.standin import (
    bedrock,
    bodies,
    comprehend,
    control,
    notices,
    openai,
    rekognition,
    rekognition_video,
    sqs,
    transcribe,
)
from mediaq.embedded.standin.account import Account
from mediaq.embedded.standin.book import Book, Call, Entry, Job
from mediaq.embedded.standin.errors import AwsError, HangUp, serialization_error
from mediaq.embedded.standin.faults import Faults, strike
from mediaq.embedded.standin.invocations import Answer, Invocation, Limits, Operation, Standin
from mediaq.embedded.standin.jobs import Jobs, Outcome
from mediaq.embedded.standin.objects import Objects
from mediaq.embedded.standin.queues import Queues
from mediaq.embedded.standin.texts import Reader
from mediaq.embedded.standin.validation import check

AMZ_JSON = "application/x-amz-json-1.1"
JSON = "application/json"
# The headers that name an answer: AWS's clients keep it as `ResponseMetadata.RequestId`.
AMZN_ID = "x-amzn-requestid"
OPENAI_ID = "x-request-id"

OPERATIONS = {
    f"{prefix}.{operation.name}": operation
    for prefix, operations in (
        ("RekognitionService", rekognition.OPERATIONS + rekognition_video.OPERATIONS),
        ("Comprehend_20171127", comprehend.OPERATIONS),
        ("Transcribe", transcribe.OPERATIONS),
        ("AmazonSQS", sqs.OPERATIONS),
    )
    for operation in operations
}
NAMES = {operation.name for operation in OPERATIONS.values()} | {bodies.NAME, openai.NAME}


def create_app(
    *,
    s3_url: str,
    seconds_per_state: float = 0.3,
    data: Path | None = None,
    limits: Limits | None = None,
    queues: Iterable[str] = (),
) -> Starlette:
    """Make a stand-in.

    Args:
        s3_url: The S3 that holds the media, such as `http://127.0.0.1:5000`; addressed path-style.
        seconds_per_state: How long an asynchronous job is queued, and at least in progress.
        data: A file, or a folder for `standin.jsonl`, that keeps the ledger and the jobs; None: memory only.
        limits: The limits that AWS sets per account; None: AWS's defaults, and no limits of rates.
        queues: Names of the SQS queues that there are, for notices of jobs' ends (see `notices`).

    Returns:
        The app. Its lifespan must run, as the jobs stop with it; a server like uvicorn sees to that.
    """
    objects, reader, book = Objects(s3_url), Reader(), Book(_file(data))
    faults, account, kept = Faults(), Account(limits or Limits(), NAMES), Queues(queues)
    notify = partial(notices.notify, kept, faults)
    jobs = Jobs(book, partial(_work, objects, reader), notify, seconds_per_state)
    standin = Standin(objects, reader, book, faults, jobs, account, kept)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        jobs.resume()
        yield
        await jobs.close()
        await objects.close()
        book.close()

    return Starlette(
        routes=[
            _route("/", AMZN_ID, partial(_amz_json, standin)),
            _route("/model/{model:path}/invoke", AMZN_ID, partial(_invoke_model, standin)),
            _route("/v1/embeddings", OPENAI_ID, partial(_embeddings, standin)),
            Mount("/_standin", routes=control.routes(standin)),
        ],
        exception_handlers={HangUp: _hang_up},
        lifespan=lifespan,
    )


def _route(path: str, header: str, speak: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, partial(_numbered, header, speak), methods=["POST"])


async def _numbered(
    header: str, speak: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    """Give the request an id, under which its calls are in the ledger, and its answer the same."""
    request.state.id = str(uuid4())
    answer = await speak(request)
    answer.headers[header] = request.state.id
    return answer


async def _amz_json(standin: Standin, request: Request) -> Response:
    """Speak AWS JSON, 1.0 for SQS and 1.1 for the others, which differ in their names only."""
    try:
        operation = _operation(request.headers.get("x-amz-target", ""))
        body = _decoded(await request.body())
        answer = await _perform(standin, operation, body, request)
    except AwsError as error:
        return _response({"__type": error.code, "Message": error.message}, AMZ_JSON, error.status)
    return _response(answer.body, AMZ_JSON, headers=answer.headers)


async def _invoke_model(standin: Standin, request: Request) -> Response:
    """Speak the rest-json of Bedrock's runtime."""
    try:
        operation = bedrock.operation(request.path_params["model"])
        data = await request.body()
        if len(data) > bedrock.BODY_BYTES:
            raise bedrock.too_large()
        answer = await _perform(standin, operation, _decoded(data), request)
    except AwsError as error:
        return _response({"message": error.message}, JSON, error.status, {"x-amzn-errortype": error.code})
    return _response(answer.body, JSON, headers=answer.headers)


async def _embeddings(standin: Standin, request: Request) -> Response:
    """Speak OpenAI's REST."""
    try:
        if not request.headers.get("authorization", "").removeprefix("Bearer").strip():
            raise openai.unauthorized()
        body = _decoded(await request.body())
        answer = await _perform(standin, openai.operation(body), body, request)
    except AwsError as error:
        return _response(openai.error_body(error), JSON, error.status)
    return _response(answer.body, JSON)


def _operation(target: str) -> Operation:
    if target not in OPERATIONS:
        raise AwsError("UnknownOperationException", f"The operation {target!r} is not known here")
    return OPERATIONS[target]


async def _perform(standin: Standin, operation: Operation, body: dict[str, Any], request: Request) -> Answer:
    """Do one call: limits, faults, constraints, work, bill; the bill is written before the answer leaves."""
    request_id: str = request.state.id
    try:
        standin.account.admit(operation)
        rules = standin.faults.take(operation.name)
        kinds = {rule.kind for rule in rules}
        await strike(rules, operation.service)
        # Transcribe words broken constraints as its own error.
        code = "BadRequestException" if operation.service == "transcribe" else "ValidationException"
        check(body, operation.members, code=code)
        gone = partial(_gone, request)
        answer = await operation.answer(Invocation(standin, body, gone, doomed="fail-job" in kinds))
    except AwsError as error:
        standin.book.commit(Entry(calls=[_failed(operation, body, request_id, error)]))
        raise
    if answer.charges:
        standin.book.commit(Entry(calls=_billed(operation, body, request_id, answer)))
    if "drop-after" in kinds:
        raise HangUp
    return answer


def _billed(operation: Operation, body: dict[str, Any], request_id: str, answer: Answer) -> list[Call]:
    resource = operation.resource(body)
    return [
        Call(
            service=operation.service,
            operation=operation.name,
            item=charge.item,
            resource=resource,
            units=charge.units,
            unit=charge.unit,
            billed=True,
            request_id=request_id,
        )
        for charge in answer.charges
    ]


def _failed(operation: Operation, body: dict[str, Any], request_id: str, error: AwsError) -> Call:
    return Call(
        service=operation.service,
        operation=operation.name,
        item=operation.item,
        resource=operation.resource(body),
        error=error.code,
        http_status=error.status,
        request_id=request_id,
        job=_text(body, "TranscriptionJobName") or _text(body, "JobId"),
        request_token=_text(body, "ClientRequestToken"),
    )


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


async def _work(objects: Objects, reader: Reader, job: Job) -> Outcome:
    if job.operation == transcribe.START:
        return await transcribe.work(objects, reader, job)
    return await rekognition_video.work(objects, job)


async def _hang_up(request: Request, _: Exception) -> Response:
    """Cut the connection as a crash of the network would."""
    # ASGI cannot hang up. uvicorn's `receive` belongs to the object that holds the connection's transport.
    cycle: Any = getattr(request.receive, "__self__", None)
    cycle.transport.abort()
    await _gone(request)
    return Response()


async def _gone(request: Request) -> None:
    """Return when the client of a request that was read has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise serialization_error(f"The body is no JSON object: {error}") from error
    # A member that is null counts as absent.
    return {name: value for name, value in body.items() if value is not None}


def _response(
    body: dict[str, Any], media_type: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type)


def _file(data: Path | None) -> Path | None:
    return data / "standin.jsonl" if data and (data.is_dir() or not data.suffix) else data
