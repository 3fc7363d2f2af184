"""Videos: transcribed by Transcribe, labelled by Rekognition, and thumbnails made here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from loguru import logger

from mediaq.aws import objects
from mediaq.aws.calls import call
from mediaq.aws.limits import TRANSCRIPTION_JOBS, VIDEO_JOBS, limit_of
from mediaq.errors import ProviderError, ProviderJobFailed, ProviderJobRefused, Refused, StaleToken, TryAgain
from mediaq.model import Settled, TaskStatus
from mediaq.pipelines.film import find_film, take_thumbnails
from mediaq.pipelines.metered import copied, patiently, pause, recorded
from mediaq.pipelines.operation import Answer, Operation, Pipeline, Work
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.requests import ObjectKey, Seconds, request_type
from mediaq.pipelines.reuse import find_earlier, same
from mediaq.pipelines.turns import ask, holding_place, take_turn
from mediaq.store import operations

# 1,000 labels, the most that a page may have, hold the loop for 31 ms while botocore parses them.
PAGE = 250
TRANSCRIPT_BYTES = 64 * 1024 * 1024


async def transcribe(work: Work) -> Any:
    """Has the sound transcribed, the language identified, and fetches the transcript.

    Raises:
        Refused: The video has no sound, or Transcribe cannot read it.
    """
    film = await find_film(work)
    if not film.probe.has_audio:
        raise Refused(f"{film.info.key} has no sound to transcribe", "NoAudio")
    charge = prices_now().charge("transcribe.batch", film.probe.audio_ms)
    known_by = same(work, film.info.version)
    if (known := await find_earlier(work, known_by)) and (own := await _copy_transcript(work, known.result)):
        return await copied(work, "transcribe", charge.item, known_by, own)

    async def attempt() -> Any:
        name = await _provider_name(work)
        key = _transcript_key(work, name)

        async def make(run: operations.Run) -> Settled:
            await _start_transcription(work, name, film.info, key)
            await operations.name_provider_job(work.tools.store, run, name)
            await _await_transcription(work, name)
            return Settled(await _read_transcript(work, key), charge, request_id=name)

        async with holding_place(work, TRANSCRIPTION_JOBS, name):
            await take_turn(work, limit_of("transcribe", "start_transcription_job"))
            return await recorded(
                work, "transcribe", charge, make, token=name, fingerprint=known_by.fingerprint
            )

    return await patiently(work, attempt)


async def detect_labels(work: Work) -> Any:
    """Has Rekognition label the video, and collects all pages.

    Raises:
        Refused: Rekognition cannot read it.
    """
    film = await find_film(work)
    estimate = prices_now().charge("rekognition.video.labels", film.probe.duration_ms)
    known_by = same(work, film.info.version)
    if known := await find_earlier(work, known_by):
        return await copied(work, "rekognition", estimate.item, known_by, known.result)
    place = {"S3Object": {"Bucket": film.info.bucket, "Name": film.info.key}}

    async def attempt() -> Any:
        name = await _provider_name(work)

        async def make(run: operations.Run) -> Settled:
            started = await call(
                work.tools.aws, "rekognition", "start_label_detection", Video=place, ClientRequestToken=name
            )
            await operations.name_provider_job(work.tools.store, run, started["JobId"])
            labels, length = await _collect_labels(work, started["JobId"])
            billed = prices_now().charge("rekognition.video.labels", length)
            return Settled(labels, billed, request_id=started["JobId"])

        async with holding_place(work, VIDEO_JOBS, name):
            await take_turn(work, limit_of("rekognition", "start_label_detection"))
            return await recorded(
                work, "rekognition", estimate, make, token=name, fingerprint=known_by.fingerprint
            )

    return await patiently(work, attempt)


async def generate_thumbnails(work: Work) -> Any:
    """Takes pictures at even times and puts them beside the uploads.

    They cost nothing but S3 requests, and are the job's own: an earlier job's are not reused.
    """
    film = await find_film(work)
    video = work.tools.settings.video

    async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
        taken = []
        pictures = await take_thumbnails(work, film, video.thumbnails, video.thumbnail_side)
        for number, picture in enumerate(pictures, 1):
            key = f"{video.thumbnail_prefix}{work.job.id}/{number}.jpg"
            await objects.write(work.tools.aws, work.bucket, key, picture.jpeg, "image/jpeg")
            work.report(TaskStatus.PROCESSING, f"{number} of {video.thumbnails}")
            taken.append(
                {"s3Key": key, "atMs": picture.at_ms, "width": picture.width, "height": picture.height}
            )
        return Settled(taken)

    return await patiently(work, lambda: recorded(work, "mediaq", None, make))


async def _provider_name(work: Work) -> str:
    # The same for every attempt and every worker, so that a running job is found again instead of paid again.
    # AWS: a ClientRequestToken has at most 64 characters of [a-zA-Z0-9-_].
    generation = await operations.generation(work.tools.store, work.job, work.operation)
    return f"{work.job.id}-{work.operation}-{generation}"


def _transcript_key(work: Work, name: str) -> str:
    return f"{work.tools.settings.video.transcript_prefix}{name}.json"


async def _copy_transcript(work: Work, earlier: Any) -> Any:
    """Makes a copy of an earlier job's transcript that is this job's own; None where that one is gone."""
    key = _transcript_key(work, await _provider_name(work))
    copying = partial(objects.copy, work.tools.aws, work.bucket, earlier["s3Key"], key)
    try:
        await patiently(work, copying)
    except Refused as refusal:
        logger.info("the transcript is made again: {}", refusal)
        return None
    return {**earlier, "s3Key": key}


async def _start_transcription(work: Work, name: str, info: objects.ObjectInfo, key: str) -> None:
    place = f"s3://{info.bucket}/{info.key}"
    try:
        await call(
            work.tools.aws,
            "transcribe",
            "start_transcription_job",
            TranscriptionJobName=name,
            Media={"MediaFileUri": place},
            IdentifyLanguage=True,
            OutputBucketName=info.bucket,
            OutputKey=key,
        )
    except Refused as refusal:
        if refusal.code != "ConflictException":
            raise
        await _check_adopted(work, name, place)


async def _check_adopted(work: Work, name: str, place: str) -> None:
    running = await _get_transcription(work, name)
    found = running["Media"]["MediaFileUri"]
    if found != place:
        raise Refused(f"Transcribe's job {name} is about {found}, not {place}", "ConflictException")


async def _get_transcription(work: Work, name: str) -> Answer:
    answer = await ask(work, "transcribe", "get_transcription_job", TranscriptionJobName=name)
    job: Answer = answer["TranscriptionJob"]
    return job


async def _await_transcription(work: Work, name: str) -> None:
    async for _ in _looks(work):
        job = await patiently(work, lambda: _get_transcription(work, name))
        status = job["TranscriptionJobStatus"]
        work.report(TaskStatus.PROCESSING, status.lower().replace("_", " "))
        if status == "FAILED":
            raise _failed("Transcribe", job.get("FailureReason"))
        if status == "COMPLETED":
            return


async def _read_transcript(work: Work, key: str) -> Any:
    async def read() -> bytes:
        return await objects.read(work.tools.aws, work.bucket, key, most=TRANSCRIPT_BYTES)

    results = json.loads(await patiently(work, read))["results"]
    return {
        "text": " ".join(part["transcript"] for part in results["transcripts"]),
        "languageCode": results.get("language_code"),
        "segments": [
            {"start": float(part["start_time"]), "end": float(part["end_time"]), "text": part["transcript"]}
            for part in results.get("audio_segments", [])
        ],
        "s3Key": key,
    }


async def _collect_labels(work: Work, job_id: str) -> tuple[list[Any], int]:
    async for _ in _looks(work):
        found = await patiently(work, lambda: _get_labels(work, job_id))
        work.report(TaskStatus.PROCESSING, found["JobStatus"].lower().replace("_", " "))
        if found["JobStatus"] == "FAILED":
            raise _failed("Rekognition", found.get("StatusMessage"))
        if found["JobStatus"] == "SUCCEEDED":
            break
    return await patiently(work, lambda: _read_pages(work, job_id))


async def _read_pages(work: Work, job_id: str) -> tuple[list[Any], int]:
    """Reads all pages; where one is not answered for now, it goes on at that page.

    Raises:
        TryAgain: The token of a page is no longer good: the pages are to be read from the first.
    """
    labels: list[Any] = []
    position: dict[str, str] = {}
    while True:
        try:
            page = await patiently(work, partial(_get_labels, work, job_id, **position))
        except StaleToken as stale:
            raise TryAgain(str(stale), stale.code) from stale
        labels += page["Labels"]
        if not page.get("NextToken"):
            return labels, page["VideoMetadata"]["DurationMillis"]
        position = {"NextToken": page["NextToken"]}


async def _get_labels(work: Work, job_id: str, **page: str) -> dict[str, Any]:
    try:
        return await ask(work, "rekognition", "get_label_detection", JobId=job_id, MaxResults=PAGE, **page)
    except StaleToken as stale:
        if page:
            raise
        raise TryAgain(str(stale), stale.code) from stale


async def _looks(work: Work) -> AsyncIterator[None]:
    """Yields at once and then after growing waits."""
    aws = work.tools.settings.aws
    wait = aws.first_poll
    while True:
        yield
        await pause(work, wait)
        wait = min(wait * 1.5, aws.longest_poll)


def _failed(service: str, reason: str | None) -> ProviderError:
    text = f"{service} reports: {reason or 'failed without a reason'}"
    if reason is None or "internal" in reason.lower():
        return ProviderJobFailed(text, "JobFailed")
    return ProviderJobRefused(text, "JobFailed")


OPERATIONS = (
    Operation("transcribe", "transcription", transcribe),
    Operation("detectLabels", "labels", detect_labels),
    Operation("generateThumbnails", "thumbnails", generate_thumbnails),
)

VIDEO = Pipeline(
    queue="video-processing",
    task="mediaq.tasks.process_video",
    description="process-video",
    request=request_type(
        "VideoRequest", OPERATIONS, ("s3Key", ObjectKey), ("duration", Seconds | None, None)
    ),
    operations=OPERATIONS,
)
