"""The routes that accept jobs, one or many."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from mediaq.dispatch import push_all
from mediaq.errors import CommitUnknown, NotAdmitted
from mediaq.model import JobStatus, NewJob
from mediaq.pipelines.operation import Pipeline
from mediaq.pipelines.terms import set_terms
from mediaq.pipelines.webhook import admit_webhook
from mediaq.resources import Resources
from mediaq.service.answers import answer, links, show_accepted
from mediaq.service.bodies import decode_body, read_body
from mediaq.service.endpoint import Call
from mediaq.service.intake import Intake
from mediaq.service.ownership import refuse_what_is_anothers
from mediaq.service.problems import Problem, as_problem, unknown, unknown_batch
from mediaq.service.queues import find_job_type
from mediaq.settings import Settings
from mediaq.store.acceptance import Accepted, accept_all

LONGEST_KEY = 255
IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_KEY,
        description="Makes it harmless to repeat the request for a day; kept by user.",
        examples=["upload-4711"],
    ),
]
Location = Annotated[str, Meta(description="Where the job is found.")]
# Bytes of a request from which on its estimate is made beside the loop.
LARGE = 32 * 1024
MOST_JOBS = 1000


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several jobs of one type.

    Args:
        jobs: What each would be asked for by alone.
    """

    jobs: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_JOBS)]


async def post_job(call: Call) -> Response:
    """Accepts a job: on record first, then in its queue. Once on record it is kept, whatever follows."""
    resources, pipeline = call.resources, find_job_type(call)
    body = await read_body(call.request)
    new = await _make_job(call, pipeline, body, key=_idempotency_key(call.request))
    accepted = await _accept(call, new)
    await _push_new(resources, [accepted])
    headers = {"Location": links(accepted.job)["self"]}
    return answer(show_accepted(accepted.job), HTTPStatus.ACCEPTED, headers)


async def post_batch(call: Call) -> Response:
    """Accepts jobs together: one transaction, one pipelined push, an outcome for each in the order given.

    That is answered by 200: the batch as a whole was dealt with, and each outcome has a status of its own.
    (207 is WebDAV's, with a body that it defines.)
    """
    resources, pipeline = call.resources, find_job_type(call)
    body = await read_body(call.request)
    asked = decode_body(body, Batch).jobs
    key = _idempotency_key(call.request)
    digest = "" if key is None else _hash({"jobs": [_value(one) for one in asked]})
    checked = [
        await _check(call, pipeline, bytes(one), _key_of_one(key, n), digest) for n, one in enumerate(asked)
    ]
    news = [new for new in checked if isinstance(new, NewJob)]
    # Known to be away, Redis is refused for before anything is on record.
    await resources.queues[pipeline.queue].ping()
    accepted = await _accept_all(resources, news)
    await _push_new(resources, [one for one in accepted.values() if isinstance(one, Accepted)])
    outcomes = [_outcome(accepted[new.id] if isinstance(new, NewJob) else new) for new in checked]
    return answer({"outcomes": outcomes})


async def _check(
    call: Call, pipeline: Pipeline, body: bytes, key: str | None, digest: str
) -> NewJob | Problem:
    try:
        return await _make_job(call, pipeline, body, key=key, batch=digest)
    except Problem as problem:
        return problem


async def _make_job(
    call: Call, pipeline: Pipeline, body: bytes, *, key: str | None, batch: str = ""
) -> NewJob:
    asked, user_id = msgspec.to_builtins(decode_body(body, pipeline.request)), call.caller.user_id
    settings = call.resources.settings
    refuse_what_is_anothers(call.caller, asked, settings.auth.s3_key_prefix)
    asked.pop("userId", None)
    _refuse_what_is_not_allowed(pipeline, asked, settings)
    digest = _digest(pipeline, asked, batch)
    # Not part of what is kept, and shown, of the request: its query may bear a password.
    webhook = asked.pop("webhook", None)
    terms = partial(set_terms, settings, pipeline, asked, user_id)
    return NewJob(
        id=uuid.uuid4().hex,
        type=pipeline.queue,
        user_id=user_id,
        media_item_id=asked["mediaItemId"],
        cost_center=asked.get("costCenter"),
        request=asked,
        operations=pipeline.planned(asked),
        max_attempts=settings.queues.named(pipeline.queue).attempts,
        idempotency_key=key,
        digest=digest,
        # A long text is cut into passages, which would hold the loop.
        terms=await asyncio.to_thread(terms) if len(body) > LARGE else terms(),
        webhook=None if webhook is None else webhook["url"],
    )


def _refuse_what_is_not_allowed(pipeline: Pipeline, asked: Mapping[str, Any], settings: Settings) -> None:
    try:
        pipeline.admit(asked, settings)
        admit_webhook(asked, settings.webhooks)
    except NotAdmitted as refusal:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(refusal), field=refusal.field) from refusal


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"Idempotency-Key: it has 1 to {LONGEST_KEY} characters",
            field="Idempotency-Key",
        )
    return key


def _key_of_one(key: str | None, n: int) -> str | None:
    """Returns the key of a batch's job by its place; no header has such a one, which begins with a space."""
    return None if key is None else f" {n} {key}"


def _digest(pipeline: Pipeline, asked: Any, batch: str) -> str:
    # Of a batch's job it depends on all of the batch: another one is another request.
    told = [pipeline.queue, asked, batch] if batch else [pipeline.queue, asked]
    return _hash(told)


def _value(text: msgspec.Raw) -> Any:
    """Returns what a job of a batch says, however it is spelt; its bytes where that cannot be read."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(text)


def _hash(told: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


async def _accept(call: Call, new: NewJob) -> Accepted:
    intake: Intake = call.request.app.state.intake
    try:
        with call.resources.telemetry.tracer.span("accept", mediaq_job_id=new.id):
            return await intake.accept(new)
    except CommitUnknown as error:
        raise unknown(new, links(new)) from error


async def _accept_all(resources: Resources, news: Sequence[NewJob]) -> Mapping[str, Accepted | Problem]:
    """Puts jobs on record; returns the outcomes by the ids of those asked for."""
    if not news:
        return {}
    settings = resources.settings
    try:
        with resources.telemetry.tracer.span("accept", mediaq_jobs=len(news)):
            outcomes = await accept_all(
                resources.store, news, settings.database.timeout, settings.service.open_jobs
            )
    except CommitUnknown as error:
        raise unknown_batch(news) from error
    return {
        new.id: outcome if isinstance(outcome, Accepted) else as_problem(outcome)
        for new, outcome in zip(news, outcomes, strict=True)
    }


async def _push_new(resources: Resources, accepted: Iterable[Accepted]) -> None:
    # One that had to be asked for again may have been found, pushed and run meanwhile.
    await push_all(
        resources, [one.job for one in accepted if one.is_new and one.job.status is JobStatus.WAITING]
    )


def _outcome(outcome: Accepted | Problem) -> dict[str, Any]:
    if isinstance(outcome, Accepted):
        return {**show_accepted(outcome.job), "status": HTTPStatus.ACCEPTED, "jobStatus": outcome.job.status}
    return {"status": outcome.status, "error": outcome.detail, **outcome.further}
