"""Videos: transcribed by Transcribe, labelled by Rekognition, and thumbnails made here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import attrs

from mediaq.errors import OnRecord
from mediaq.model import Settled
from mediaq.pipelines.budget import keep_to_budget
from mediaq.pipelines.film import Film, find_film
from mediaq.pipelines.metered import recorded
from mediaq.pipelines.operation import Operation, Perform, Pipeline, Work, free
from mediaq.pipelines.requests import ObjectKey, Seconds, request_type
from mediaq.pipelines.thumbnails import folder, generate_thumbnails
from mediaq.pipelines.transcription import TRANSCRIBE, estimate_transcription, stems, transcribe
from mediaq.pipelines.video_labels import detect_labels, estimate_labels
from mediaq.pipelines.video_parameters import Thumbnails, Transcription, VideoLabels
from mediaq.settings import Settings
from mediaq.store import operations

# The name under which what a film is goes on record, beside the operations' results.
PROBE = "probe"


def _of_film(operate: Callable[[Work, Film], Awaitable[Any]]) -> Perform:
    """Makes an operation of something that is done to a film that was found and probed."""

    async def perform(work: Work) -> Any:
        film = await find_film(work)
        await keep_to_budget(work, _estimate(work, film))
        await work.share(PROBE, lambda: _record_probe(work, film))
        return await operate(work, film)

    return perform


def _estimate(work: Work, film: Film) -> Decimal:
    # The sound may last longer than the pictures.
    seconds = max(film.probe.duration_ms, film.probe.audio_ms) / 1000
    return VIDEO.estimate({**work.job.request, "duration": seconds}, work.tools.settings)


async def _record_probe(work: Work, film: Film) -> None:
    probe = film.probe
    found = {
        "durationMs": probe.duration_ms,
        "sizeBytes": film.info.size,
        "container": probe.container,
        "width": probe.width,
        "height": probe.height,
        "rotation": probe.rotation,
        "frameRate": probe.frame_rate,
        "videoCodec": probe.video_codec,
        "audioCodec": probe.audio_codec,
        "audioMs": probe.audio_ms,
        "audioChannels": probe.channels,
    }

    async def make(_: operations.Run) -> Settled:
        return Settled(found)

    # An earlier attempt may have put it on record.
    with suppress(OnRecord):
        await recorded(attrs.evolve(work, operation=PROBE), "mediaq", None, make)


OPERATIONS = (
    Operation(
        TRANSCRIBE,
        "transcription",
        _of_film(transcribe),
        estimate_transcription,
        parameters=Transcription,
        example={"languageCode": "en-US", "subtitles": ["vtt"]},
    ),
    Operation("detectLabels", "labels", _of_film(detect_labels), estimate_labels, parameters=VideoLabels),
    Operation(
        "generateThumbnails",
        "thumbnails",
        _of_film(generate_thumbnails),
        free,
        parameters=Thumbnails,
        example={"count": 5, "format": "webp"},
    ),
)


def _objects(settings: Settings, job_id: str) -> tuple[str, ...]:
    return folder(settings, job_id), stems(settings, job_id)


VIDEO = Pipeline(
    queue="video-processing",
    task="mediaq.tasks.process_video",
    description="process-video",
    request=request_type(
        "VideoRequest", OPERATIONS, ("s3Key", ObjectKey), ("duration", Seconds | None, None)
    ),
    operations=OPERATIONS,
    noted=(PROBE,),
    objects=_objects,
    example={"mediaItemId": "film-1", "s3Key": "uploads/film-1.mp4", "costCenter": "marketing"},
)
