"""Rekognition's video labels: StartLabelDetection, its job, and GetLabelDetection page by page."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import time
from decimal import Decimal
from itertools import groupby
from typing import Any

import msgspec
from attrs import asdict, frozen

from mediaq.embedded.standin import videos
from mediaq.embedded.standin.book import Charge, End, Job
from mediaq.embedded.standin.errors import AwsError, invalid_parameters
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation, Standin
from mediaq.embedded.standin.jobs import JobFailed, Outcome
from mediaq.embedded.standin.labels import label_filters, select
from mediaq.embedded.standin.objects import NoObject, Objects
from mediaq.embedded.standin.rekognition import (
    CONFIDENCE,
    SETTINGS,
    no_object,
    s3_object,
)
from mediaq.embedded.standin.resources import s3_address
from mediaq.embedded.standin.validation import Member

START = "StartLabelDetection"
ITEM = "rekognition.video.labels"
MODEL = "3.0"

# Amazon Rekognition Developer Guide, "Guidelines and quotas", and the API reference.
VIDEO_BYTES = 10 * 1024**3
CONFIDENCE_DEFAULT = 50
MOST_RESULTS = 1000

JOB_ID = r"[a-zA-Z0-9-_]+"
ROLE = r"arn:aws:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"


async def start_label_detection(invocation: Invocation) -> Answer:
    """Answer StartLabelDetection; the same token and parameters give the same job."""
    body, standin = invocation.body, invocation.standin
    if earlier := _earlier(standin, body):
        return earlier
    if body["Video"].get("S3Object") is None:
        raise invalid_parameters()
    await _check_size(standin.objects, body["Video"]["S3Object"])
    # Another call with the token may have come in meanwhile; from here on nothing waits.
    if earlier := _earlier(standin, body):
        return earlier
    most = standin.account.limits.video_jobs
    if standin.jobs.count(START) >= most:
        message = f"Open jobs exceed the limit of {most}. Wait until some have ended."
        raise AwsError("LimitExceededException", message)
    job = Job(
        id=secrets.token_hex(32),
        service="rekognition",
        operation=START,
        item=ITEM,
        resource=s3_address(body["Video"]),
        request=body,
        created=time.time(),
        doomed=invocation.doomed,
    )
    standin.jobs.start(job)
    return Answer({"JobId": job.id})


async def work(objects: Objects, job: Job) -> Outcome:
    """Watch the film of a job.

    Raises:
        JobFailed: It cannot be read or used.
    """
    place = job.request["Video"]["S3Object"]
    try:
        size = await objects.size(place["Bucket"], place["Name"])
        film, labels = await asyncio.to_thread(_watch, objects, place, size)
    except NoObject as error:
        raise JobFailed(no_object().message) from error
    except videos.BadVideo as error:
        raise JobFailed(str(error)) from error
    filters = label_filters(job.request)
    least = job.request.get("MinConfidence", CONFIDENCE_DEFAULT)
    kept = [timed for timed in labels if select([timed["Label"]], least, filters)]
    # Amazon Rekognition pricing: per minute of video analysed.
    minutes = Decimal(film.duration_millis) / Decimal(60_000)
    return Outcome({"film": asdict(film), "labels": kept}, Charge(ITEM, minutes, "minute"))


async def get_label_detection(invocation: Invocation) -> Answer:
    """Answer GetLabelDetection."""
    body, book = invocation.body, invocation.standin.book
    job = book.jobs.get(body["JobId"])
    if job is None or job.operation != START:
        raise AwsError("ResourceNotFoundException", "Could not find JobId")
    page = _page(body, job)
    common = {"JobId": job.id, "LabelModelVersion": MODEL, "Video": job.request["Video"]}
    if tag := job.request.get("JobTag"):
        common["JobTag"] = tag
    end = book.ends.get(job.id)
    if end is None:
        return Answer({**common, "JobStatus": "IN_PROGRESS", "Labels": []})
    if end.failure:
        return Answer({**common, "JobStatus": "FAILED", "StatusMessage": end.failure, "Labels": []})
    return Answer({**common, "JobStatus": "SUCCEEDED", **_results(end, page)})


def video_resource(body: dict[str, Any]) -> str:
    """Return the film's address, or the job's id of a Get request."""
    return s3_address(body["Video"]) if "Video" in body else str(body.get("JobId", ""))


@frozen
class _Page:
    job: str
    sort: str
    aggregate: str
    size: int
    start: int = 0


def _earlier(standin: Standin, body: dict[str, Any]) -> Answer | None:
    job = standin.book.tokens.get(body.get("ClientRequestToken", ""))
    if job and job.request != body:
        raise AwsError(
            "IdempotentParameterMismatchException",
            "ClientRequestToken was used before with other parameters",
        )
    return Answer({"JobId": job.id}) if job else None


async def _check_size(objects: Objects, place: dict[str, Any]) -> None:
    try:
        size = await objects.size(place["Bucket"], place["Name"])
    except NoObject as error:
        raise no_object() from error
    if size > VIDEO_BYTES:
        raise AwsError("VideoTooLargeException", f"Video size is too large: {size} bytes")


def _watch(objects: Objects, place: dict[str, Any], size: int) -> tuple[videos.Film, list[dict[str, Any]]]:
    with objects.open(place["Bucket"], place["Name"], size) as file:
        return videos.watch(file)


def _page(body: dict[str, Any], job: Job) -> _Page:
    asked = _Page(
        job.id,
        body.get("SortBy", "TIMESTAMP"),
        body.get("AggregateBy", "TIMESTAMPS"),
        min(body.get("MaxResults", MOST_RESULTS), MOST_RESULTS),
    )
    if not (token := body.get("NextToken")):
        return asked
    try:
        earlier = msgspec.json.decode(base64.urlsafe_b64decode(token), type=_Page)
    except (binascii.Error, ValueError) as error:
        raise _bad_token() from error
    if (earlier.job, earlier.sort, earlier.aggregate) != (asked.job, asked.sort, asked.aggregate):
        raise _bad_token()
    return _Page(asked.job, asked.sort, asked.aggregate, asked.size, earlier.start)


def _bad_token() -> AwsError:
    return AwsError("InvalidPaginationTokenException", "Pagination token in the request is not valid")


def _results(end: End, page: _Page) -> dict[str, Any]:
    film, labels = end.result["film"], end.result["labels"]
    if page.aggregate == "SEGMENTS":
        labels = _segments(labels)
    order = _by_name if page.sort == "NAME" else _by_time
    shown = sorted(labels, key=order)[page.start : page.start + page.size]
    results = {
        "VideoMetadata": {
            "Codec": film["codec"],
            "DurationMillis": film["duration_millis"],
            "Format": film["format"],
            "FrameRate": film["frame_rate"],
            "FrameWidth": film["width"],
            "FrameHeight": film["height"],
            "ColorRange": film["color_range"],
        },
        "Labels": shown,
        "GetRequestMetadata": {"SortBy": page.sort, "AggregateBy": page.aggregate},
    }
    if page.start + page.size < len(labels):
        following = _Page(page.job, page.sort, page.aggregate, page.size, page.start + page.size)
        results["NextToken"] = base64.urlsafe_b64encode(msgspec.json.encode(following)).decode()
    return results


def _segments(labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the sightings of each label into one stretch of time where no sample between them misses it."""
    times = sorted({label["Timestamp"] for label in labels})
    number = {moment: i for i, moment in enumerate(times)}
    segments = []
    for _, group in groupby(sorted(labels, key=_by_name), key=lambda label: label["Label"]["Name"]):
        for _, run in groupby(enumerate(group), key=lambda pair: number[pair[1]["Timestamp"]] - pair[0]):
            seen = [label for _, label in run]
            segments.append(_segment(seen))
    return segments


def _segment(seen: list[dict[str, Any]]) -> dict[str, Any]:
    start, end = seen[0]["Timestamp"], seen[-1]["Timestamp"]
    label = {**seen[0]["Label"], "Instances": []}
    return {
        "StartTimestampMillis": start,
        "EndTimestampMillis": end,
        "DurationMillis": end - start,
        "Timestamp": start,
        "Label": label,
    }


def _by_time(label: dict[str, Any]) -> tuple[int, str]:
    return label["Timestamp"], label["Label"]["Name"]


def _by_name(label: dict[str, Any]) -> tuple[str, int]:
    return label["Label"]["Name"], label["Timestamp"]


OPERATIONS = (
    Operation(
        service="rekognition",
        name=START,
        item=ITEM,
        answer=start_label_detection,
        resource=video_resource,
        members=(
            Member("Video", dict, required=True),
            *s3_object("Video"),
            Member("ClientRequestToken", low=1, high=64, pattern=JOB_ID),
            Member("JobTag", low=1, high=1024, pattern=r"[a-zA-Z0-9_.\-:+=\/]+"),
            Member("NotificationChannel", dict),
            Member("NotificationChannel.SNSTopicArn", required=True, pattern=r"arn:aws:sns:.*:\w{12}:.+"),
            Member("NotificationChannel.RoleArn", required=True, pattern=ROLE),
            CONFIDENCE,
            *SETTINGS,
        ),
    ),
    Operation(
        service="rekognition",
        name="GetLabelDetection",
        item="",
        answer=get_label_detection,
        resource=video_resource,
        members=(
            Member("JobId", required=True, low=1, high=64, pattern=JOB_ID),
            Member("MaxResults", int, low=1),
            Member("NextToken", high=255),
            Member("SortBy", choices=("NAME", "TIMESTAMP")),
            Member("AggregateBy", choices=("TIMESTAMPS", "SEGMENTS")),
        ),
    ),
)
