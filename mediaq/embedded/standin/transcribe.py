"""Transcribe: StartTranscriptionJob, its job, which writes the transcript to S3, and GetTranscriptionJob."""

from __future__ import annotations

import asyncio
import re
import time
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit

from mediaq.embedded.standin import speech, transcripts
from mediaq.embedded.standin.book import Charge, Job
from mediaq.embedded.standin.errors import AwsError, bad_request
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation, Standin
from mediaq.embedded.standin.jobs import JobFailed, Outcome
from mediaq.embedded.standin.objects import NoObject, Objects
from mediaq.embedded.standin.texts import Reader
from mediaq.embedded.standin.transcripts import LANGUAGE_CODES, identify
from mediaq.embedded.standin.validation import Member

START = "StartTranscriptionJob"
ITEM = "transcribe.batch"
# Where transcripts go that no bucket was named for; their addresses are presigned, as the service's are.
OWN_BUCKET = "standin-transcripts"
PRESIGNED = "?X-Amz-Signature=unchecked"

# Amazon Transcribe Developer Guide, "Guidelines and quotas".
MEDIA_BYTES = 2 * 1024**3
MEDIA_FORMATS = ("mp3", "mp4", "wav", "flac", "ogg", "amr", "webm", "m4a")
JOB_NAME = r"[0-9a-zA-Z._-]+"


async def start_transcription_job(invocation: Invocation) -> Answer:
    """Answer StartTranscriptionJob."""
    body, standin = invocation.body, invocation.standin
    ways = ("LanguageCode", "IdentifyLanguage", "IdentifyMultipleLanguages")
    if sum(bool(body.get(name)) for name in ways) != 1:
        raise bad_request(f"You must provide exactly one of {', '.join(ways)}.")
    if body.get("LanguageOptions") and body.get("LanguageCode"):
        raise bad_request("LanguageOptions can only be used with language identification.")
    bucket, key = media_place(body)
    _check_name(standin, body)
    await _check_media(standin.objects, bucket, key)
    if (output := body.get("OutputBucketName")) and not await standin.objects.has_bucket(output):
        raise bad_request(
            "The specified S3 bucket can't be accessed. Check the bucket name and try your request again."
        )
    # Another call with the name may have come in meanwhile; from here on nothing waits.
    _check_name(standin, body)
    _check_room(standin)
    job = Job(
        id=body["TranscriptionJobName"],
        service="transcribe",
        operation=START,
        item=ITEM,
        resource=f"s3://{bucket}/{key}",
        request=body,
        created=time.time(),
        doomed=invocation.doomed,
    )
    standin.jobs.start(job)
    return Answer({"TranscriptionJob": _description(standin, job)})


async def work(objects: Objects, reader: Reader, job: Job) -> Outcome:
    """Listen to the media of a job and write its transcript.

    Raises:
        JobFailed: The media cannot be read or used.
    """
    recording = await _listen(objects, job)
    language = await asyncio.to_thread(identify, reader, recording.text, job.request)
    bucket, key = output_place(job)
    if bucket == OWN_BUCKET:
        await objects.make_bucket(bucket)
    await objects.write(bucket, key, transcripts.document(job.id, recording, language))
    result = {
        "uri": objects.url(bucket, key) + (PRESIGNED if bucket == OWN_BUCKET else ""),
        "language": language.code,
        "score": language.score,
        "rate": recording.sample_rate,
        "format": job.request.get("MediaFormat", recording.formats[0]),
    }
    return Outcome(result, Charge(ITEM, Decimal(speech.billed_seconds(recording)), "second"))


async def get_transcription_job(invocation: Invocation) -> Answer:
    """Answer GetTranscriptionJob."""
    name = invocation.body["TranscriptionJobName"]
    job = invocation.standin.book.jobs.get(name)
    if job is None or job.operation != START:
        # The service model also has a NotFoundException, which the service does not use here.
        raise bad_request(
            "The requested job couldn't be found. Check the job name and try your request again."
        )
    return Answer({"TranscriptionJob": _description(invocation.standin, job)})


def media_resource(body: dict[str, Any]) -> str:
    """Return the media's address, or the job's name of a Get request."""
    media = body.get("Media")
    name = str(body.get("TranscriptionJobName", ""))
    return str(media.get("MediaFileUri", "")) if isinstance(media, dict) else name


def media_place(body: dict[str, Any]) -> tuple[str, str]:
    """Return bucket and key of a request's media: `s3://bucket/key` or `https://host/bucket/key`.

    Raises:
        AwsError: The address is neither.
    """
    uri = body["Media"].get("MediaFileUri") or ""
    match = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if match:
        return match[1], match[2]
    bucket, _, key = unquote(urlsplit(uri).path).lstrip("/").partition("/")
    if not bucket or not key:
        raise _no_media()
    return bucket, key


def output_place(job: Job) -> tuple[str, str]:
    """Return bucket and key of a job's transcript, as the API reference derives them from OutputKey."""
    default = f"{job.id}.json"
    bucket = job.request.get("OutputBucketName")
    if bucket is None:
        return OWN_BUCKET, default
    key = job.request.get("OutputKey", "")
    if key.endswith(".json"):
        return bucket, key
    folder = key.rstrip("/")
    return bucket, f"{folder}/{default}" if folder else default


async def _listen(objects: Objects, job: Job) -> speech.Recording:
    bucket, key = media_place(job.request)
    try:
        size = await objects.size(bucket, key)
        recording = await asyncio.to_thread(_heard, objects, bucket, key, size)
    except NoObject as error:
        raise JobFailed(_no_media().message) from error
    except speech.BadAudio as error:
        raise JobFailed(str(error)) from error
    if job.request.get("MediaFormat", recording.formats[0]) not in recording.formats:
        raise JobFailed("The media format provided does not match the detected media format.")
    if job.request.get("MediaSampleRateHertz", recording.sample_rate) != recording.sample_rate:
        raise JobFailed("The sample rate provided does not match the detected sample rate.")
    return recording


def _heard(objects: Objects, bucket: str, key: str, size: int) -> speech.Recording:
    if size > MEDIA_BYTES:
        raise speech.BadAudio("Invalid file size: file size too large.")
    with objects.open(bucket, key, size) as file:
        return speech.listen(file)


def _check_name(standin: Standin, body: dict[str, Any]) -> None:
    if body["TranscriptionJobName"] in standin.book.jobs:
        raise AwsError("ConflictException", "The requested job name already exists.")


def _check_room(standin: Standin) -> None:
    most = standin.account.limits.transcription_jobs
    if standin.jobs.count(START) >= most:
        message = f"You have reached the limit of {most} concurrent transcription jobs. Wait before retrying."
        raise AwsError("LimitExceededException", message)


async def _check_media(objects: Objects, bucket: str, key: str) -> None:
    try:
        await objects.size(bucket, key)
    except NoObject as error:
        raise _no_media() from error


def _no_media() -> AwsError:
    return bad_request(
        "The URI that you provided doesn't point to an S3 object. "
        "Make sure that the object exists and try your request again."
    )


def _description(standin: Standin, job: Job) -> dict[str, Any]:
    kept = (
        "TranscriptionJobName",
        "LanguageCode",
        "IdentifyLanguage",
        "LanguageOptions",
        "Media",
        "MediaFormat",
    )
    described = {name: job.request[name] for name in kept if name in job.request}
    described["CreationTime"] = job.created
    if end := standin.book.ends.get(job.id):
        described |= {"StartTime": standin.jobs.begins(job), "CompletionTime": end.at}
        if end.failure:
            return {**described, "TranscriptionJobStatus": "FAILED", "FailureReason": end.failure}
        return {**described, "TranscriptionJobStatus": "COMPLETED", **_completed(job, end.result)}
    state = standin.jobs.state(job)
    started = {} if state == "QUEUED" else {"StartTime": standin.jobs.begins(job)}
    return {**described, **started, "TranscriptionJobStatus": state}


def _completed(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    completed = {
        "LanguageCode": result["language"],
        "MediaFormat": result["format"],
        "MediaSampleRateHertz": result["rate"],
        "Transcript": {"TranscriptFileUri": result["uri"]},
    }
    if "LanguageCode" not in job.request:
        completed["IdentifiedLanguageScore"] = result["score"]
    return completed


OPERATIONS = (
    Operation(
        service="transcribe",
        name=START,
        item=ITEM,
        answer=start_transcription_job,
        resource=media_resource,
        members=(
            Member("TranscriptionJobName", required=True, low=1, high=200, pattern=JOB_NAME),
            Member("Media", dict, required=True),
            Member("Media.MediaFileUri", low=1, high=2000, pattern=r"(s3://|http(s*)://).+"),
            Member("LanguageCode", choices=LANGUAGE_CODES),
            Member("IdentifyLanguage", bool),
            Member("IdentifyMultipleLanguages", bool),
            Member("LanguageOptions", list, low=1, choices=LANGUAGE_CODES),
            Member("MediaFormat", choices=MEDIA_FORMATS),
            Member("MediaSampleRateHertz", int, low=8000, high=48000),
            Member("OutputBucketName", high=64, pattern=r"[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]"),
            Member("OutputKey", low=1, high=1024, pattern=r"[a-zA-Z0-9-_.!*'()/]{1,1024}"),
        ),
    ),
    Operation(
        service="transcribe",
        name="GetTranscriptionJob",
        item="",
        answer=get_transcription_job,
        resource=media_resource,
        members=(Member("TranscriptionJobName", required=True, low=1, high=200, pattern=JOB_NAME),),
    ),
)
