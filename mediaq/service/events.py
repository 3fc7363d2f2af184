"""The routes of event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus

import msgspec
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mediaq.pipelines.requests import Name
from mediaq.service.endpoint import Call
from mediaq.service.hub import EVERYBODY, Topic
from mediaq.service.jobs import JOB_ID
from mediaq.service.ownership import refuse_what_is_hidden, whose
from mediaq.service.problems import Problem, invalid
from mediaq.service.queues import find_job_type
from mediaq.service.sse import heartbeat, last_place
from mediaq.service.streams import Listener, Records, follow_job, follow_jobs
from mediaq.settings import Events


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Whose jobs are listened to, where that is not the caller.

    Args:
        user_id: A user; another than the caller is for admins.
        all: Whether everybody's are; for admins.
    """

    user_id: Name | None = None
    all: bool = False


async def get_job_events(call: Call) -> Response:
    """Tells a job's owner, or an admin, what becomes of it, until it has ended."""
    job_type, job_id = find_job_type(call).queue, call.path["job_id"]
    records: Records = call.request.app.state.records
    found = await records.owners.get(job_id) if JOB_ID.fullmatch(job_id) else None
    if found is None or found[0] != job_type:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no {job_type} job {job_id}")
    refuse_what_is_hidden(call.caller, f"job {job_id}", found[1])
    return _stream(call, follow_job(_listener(call, Topic(job_id)), job_id))


async def get_events(call: Call) -> Response:
    """Tells what becomes of the caller's jobs; admins, of another's or of everybody's."""
    caller, query = call.caller, call.query
    user_id = whose(caller, query.user_id) or caller.user_id
    if query.all and not caller.admin:
        raise Problem(HTTPStatus.FORBIDDEN, "all: everybody's jobs are for admins", field="all")
    if query.all and query.user_id is not None:
        raise invalid("all", "it cannot go with userId")
    topic = EVERYBODY if query.all else Topic(user_id=user_id)
    return _stream(call, follow_jobs(_listener(call, topic)))


def _listener(call: Call, topic: Topic) -> Listener:
    state = call.request.app.state
    return Listener(call.resources, state.records, state.hub, topic, last_place(call.request))


def _stream(call: Call, chunks: AsyncIterator[bytes]) -> Response:
    return _EventStream(chunks, call.resources.settings.events)


class _EventStream(EventSourceResponse):
    """An event stream that lets go of a client who takes nothing."""

    def __init__(self, chunks: AsyncIterator[bytes], events: Events) -> None:
        super().__init__(
            chunks,
            ping=events.heartbeat,
            ping_message_factory=heartbeat,
            send_timeout=events.patience,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)
