"""The routes of jobs on record: shown, listed, cancelled, run again."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field
from starlette.responses import Response

from mediaq import interventions
from mediaq.model import Job, JobStatus, Place
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.requests import Name
from mediaq.service.answers import answer, links, show_accepted, show_job, show_summary
from mediaq.service.cursor import EPOCH, read_cursor, write_cursor
from mediaq.service.endpoint import Call
from mediaq.service.ownership import refuse_what_is_hidden, whose
from mediaq.service.problems import Problem, as_problem
from mediaq.service.queues import find_job_type
from mediaq.store import jobs
from mediaq.store.jobs import Record, Wanted

# What RQ takes as a job's id.
JOB_ID = re.compile("[A-Za-z0-9_-]+")
# Jobs that one answer lists, unless told, and at most.
LISTED, MOST_LISTED = 50, 200
# The end of the year 9999, which is as late as dates go.
LATEST = 253_402_300_799_000

JobType = Annotated[str, Meta(pattern=f"^({'|'.join(PIPELINES)})$")]
Time = Annotated[int, Meta(ge=0, le=LATEST, description="Milliseconds since the epoch, UTC, as in answers.")]


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which jobs are meant.

    Args:
        user_id: Whose; without it, the caller's own, and to admins everybody's.
        job_type: Of which type.
        media_item_id: About which media item.
        cost_center: On whose account.
        since: Accepted then or later.
        until: Accepted before.
    """

    user_id: Name | None = None
    job_type: JobType | None = None
    media_item_id: Name | None = None
    cost_center: Name | None = None
    since: Time | None = field(default=None, name="from")
    until: Time | None = field(default=None, name="to")


class ListQuery(Filters, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which jobs are listed.

    Args:
        status: In which state.
        limit: How many one answer has at most.
        cursor: Where the last answer ended, its `nextCursor`.
    """

    status: JobStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_LISTED)] = LISTED
    cursor: str | None = None


class RetryQuery(Filters, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which failed jobs are run again.

    Args:
        status: What goes without saying.
    """

    status: Literal["failed"] = "failed"


async def get_job(call: Call) -> Response:
    """Shows a job to its owner and to admins."""
    return answer(show_job(await _find(call), call.caller))


async def get_jobs(call: Call) -> Response:
    """Lists the caller's jobs, the newest first; to admins, everybody's."""
    query, resources = call.query, call.resources
    secret = str(resources.settings.auth.secret)
    found = await jobs.list_jobs(
        resources.store,
        _wanted(call, query.status),
        # One more tells whether there are more.
        most=query.limit + 1,
        seconds=resources.settings.database.timeout,
        before=None if query.cursor is None else Place(*read_cursor("jobs", query.cursor, secret, JOB_ID)),
    )
    listed = found[: query.limit]
    cursor = None
    if len(found) > query.limit:
        cursor = write_cursor("jobs", listed[-1].accepted_at, listed[-1].id, secret)
    return answer({"jobs": [show_summary(job) for job in listed], "nextCursor": cursor})


async def delete_job(call: Call) -> Response:
    """Cancels a job that has not ended. What is on record then is final, whatever still has to stop: 200."""
    job = (await _find(call)).job
    # It may be deleted meanwhile, with its media item.
    found = await interventions.cancel(call.resources, job.id) or await _find(call)
    if not found.job.cancelled:
        reason = f"has ended already, and cannot be cancelled: it {_ending(found.job)}"
        raise _conflict(found.job, reason)
    return answer(show_job(found, call.caller))


async def retry_job(call: Call) -> Response:
    """Runs a job again that failed or was cancelled."""
    job = (await _find(call)).job
    if job.status is JobStatus.COMPLETED:
        raise _conflict(job, "has completed: there is nothing to run again")
    opened, refused = await interventions.retry(call.resources, [job.id])
    if job.id in refused:
        raise refused[job.id]
    if not opened:
        raise _conflict(job, "has not ended: it is run without a retry")
    return answer(show_accepted(opened[0]), HTTPStatus.ACCEPTED, {"Location": links(job)["self"]})


async def retry_jobs(call: Call) -> Response:
    """Runs jobs again that failed; not those that were cancelled: who gave them up asks for each."""
    done = await interventions.retry_failed(call.resources, _wanted(call, JobStatus.FAILED))
    ids = [job.id for job in done.opened]
    refused = [{"id": job_id, **_told(why)} for job_id, why in done.refused.items()]
    return answer({"retried": len(ids), "ids": ids, "refused": refused, "more": done.more})


def _told(why: Exception) -> dict[str, Any]:
    problem = as_problem(why)
    return {"status": problem.status, "error": problem.detail}


async def _find(call: Call) -> Record:
    """Returns the job that the path names, with what belongs to it.

    Raises:
        Problem: 404 where there is none, 403 where it is another user's.
    """
    job_type, job_id, resources = find_job_type(call).queue, call.path["job_id"], call.resources
    found = None
    if JOB_ID.fullmatch(job_id):
        found = await jobs.find_record(resources.store, job_id, resources.settings.database.timeout)
    if found is None or found.job.type != job_type:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no {job_type} job {job_id}")
    refuse_what_is_hidden(call.caller, f"job {job_id}", found.job.user_id)
    return found


def _wanted(call: Call, status: JobStatus | None) -> Wanted:
    query = call.query
    return Wanted(
        user_id=whose(call.caller, query.user_id),
        type=query.job_type,
        status=status,
        media_item_id=query.media_item_id,
        cost_center=query.cost_center,
        since=_time(query.since),
        until=_time(query.until),
    )


def _time(millis: int | None) -> datetime | None:
    # Answers round to the nearest millisecond: what they show as this one counts as not before it.
    return None if millis is None else EPOCH + timedelta(milliseconds=millis, microseconds=-500)


def _ending(job: Job) -> str:
    return "completed" if job.status is JobStatus.COMPLETED else f"failed: {job.failed_reason}"


def _conflict(job: Job, detail: str) -> Problem:
    told: dict[str, Any] = {"jobStatus": job.status, "failedReason": job.failed_reason}
    return Problem(HTTPStatus.CONFLICT, f"job {job.id} {detail}", **told)
