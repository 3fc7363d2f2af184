"""The REST routes: accept a job, show it, count the queues."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from http import HTTPStatus
from typing import Any

import attrs
import msgspec
from loguru import logger
from starlette.requests import Request
from starlette.responses import Response

from mediaq.dispatch import push
from mediaq.errors import CommitUnknown
from mediaq.model import Job, JobStatus, NewJob
from mediaq.pipelines.catalog import find_pipeline
from mediaq.pipelines.operation import Pipeline
from mediaq.resources import Resources
from mediaq.service.answers import answer, links, show_job
from mediaq.service.bodies import decode_body, read_body
from mediaq.service.endpoint import Call
from mediaq.service.problems import Problem, unknown
from mediaq.store import jobs
from mediaq.store.acceptance import accept
from mediaq.store.writer import Row

LONGEST_KEY = 255
# What RQ takes as a job's id.
JOB_ID = re.compile("[A-Za-z0-9_-]+")


async def post_job(call: Call) -> Response:
    """Accepts a job: on record first, then in its queue. Once on record it is kept, whatever follows."""
    resources, pipeline = call.resources, _pipeline(call)
    new = _new_job(call, pipeline, await read_body(call.request))
    # Known to be away, Redis is refused for before anything is on record.
    await resources.queues[new.type].ping()
    job, is_new = await _accept(resources, new)
    # One that had to be asked for again may have been found, pushed and run meanwhile.
    if is_new and job.status is JobStatus.WAITING:
        await _push(resources, job)
    content = {"id": job.id, "jobType": job.type, "status": job.status, "links": links(job)}
    return answer(content, HTTPStatus.ACCEPTED, {"Location": links(job)["self"]})


async def get_job(call: Call) -> Response:
    """Shows a job to its owner and to admins."""
    pipeline, job_id = _pipeline(call), call.path["job_id"]
    found = await _find(call.resources, job_id) if JOB_ID.fullmatch(job_id) else None
    if found is None or found[0].type != pipeline.queue:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no {pipeline.queue} job {job_id}")
    job, costs = found
    if not call.caller.may_see(job.user_id):
        raise Problem(HTTPStatus.FORBIDDEN, f"job {job.id} belongs to another user")
    return answer(show_job(job, costs, call.caller))


async def get_queues(call: Call) -> Response:
    """Counts the jobs of every queue."""
    queues = call.resources.queues
    counts = await asyncio.gather(*(queue.counts() for queue in queues.values()))
    named = zip(queues, counts, strict=True)
    return answer({"queues": [{"name": name, "counts": attrs.asdict(count)} for name, count in named]})


def _pipeline(call: Call) -> Pipeline:
    job_type = call.path["job_type"]
    if (pipeline := find_pipeline(job_type)) is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no job type {job_type}")
    return pipeline


def _new_job(call: Call, pipeline: Pipeline, body: bytes) -> NewJob:
    asked, user_id = msgspec.to_builtins(decode_body(body, pipeline.request)), call.caller.user_id
    if asked.pop("userId", user_id) != user_id:
        raise Problem(HTTPStatus.FORBIDDEN, "userId: it is not the token's", field="userId")
    queue = call.resources.settings.queues.named(pipeline.queue)
    return NewJob(
        id=uuid.uuid4().hex,
        type=pipeline.queue,
        user_id=user_id,
        media_item_id=asked["mediaItemId"],
        cost_center=asked.get("costCenter"),
        request=asked,
        operations=pipeline.planned(asked),
        max_attempts=queue.attempts,
        idempotency_key=_idempotency_key(call.request),
        digest=_digest(pipeline, asked),
    )


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"Idempotency-Key: it has 1 to {LONGEST_KEY} characters",
            field="Idempotency-Key",
        )
    return key


def _digest(pipeline: Pipeline, asked: Any) -> str:
    return hashlib.sha256(msgspec.json.encode([pipeline.queue, asked], order="deterministic")).hexdigest()


async def _accept(resources: Resources, new: NewJob) -> tuple[Job, bool]:
    try:
        with resources.telemetry.tracer.span("accept", mediaq_job_id=new.id):
            return await accept(resources.store, new, resources.settings.database.timeout)
    except CommitUnknown as error:
        raise unknown(new, links(new)) from error


async def _push(resources: Resources, job: Job) -> None:
    try:
        await push(resources, job)
    except Exception as error:  # noqa: BLE001 - whatever it is: the job is on record, and the answer says so
        logger.warning("job {} is on record and will be pushed later: {}", job.id, error)


async def _find(resources: Resources, job_id: str) -> tuple[Job, list[Row]] | None:
    return await jobs.find_with_costs(resources.store, job_id, resources.settings.database.timeout)
