"""What is said in a film: a job of Transcribe, its transcript as text and segments, subtitles on request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
from loguru import logger

from mediaq.aws import objects
from mediaq.aws.calls import call
from mediaq.aws.limits import TRANSCRIPTION_JOBS
from mediaq.errors import Refused
from mediaq.model import Charge, Settled
from mediaq.pipelines import subtitles
from mediaq.pipelines.film import Film
from mediaq.pipelines.lengths import told_ms
from mediaq.pipelines.metered import copied
from mediaq.pipelines.operation import Answer, Request, Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.provider_jobs import Kind, ProviderJob, State, job_name, name_stem, run_provider_job
from mediaq.pipelines.reuse import Same, find_earlier, same
from mediaq.pipelines.turns import ask
from mediaq.pipelines.video_parameters import Transcription, said
from mediaq.settings import Settings
from mediaq.store import operations

# The operation's name, which is part of the names of its jobs at AWS.
TRANSCRIBE = "transcribe"
PRICE = "transcribe.batch"
KIND = Kind("transcribe", "Transcribe", "start_transcription_job", TRANSCRIPTION_JOBS)
# Transcripts of one object that are looked through: by language or version, the newest first.
RECALLED = 100
TRANSCRIPT_BYTES = 64 * 1024 * 1024
# AWS, Transcribe, Guidelines and quotas.
MOST_BYTES = 2 * 1024**3
SHORTEST_MS = 500
# AWS, Transcribe, Data input: the containers that it takes, and media of more than two channels are not.
CONTAINERS = frozenset({"mp3", "mp4", "wav", "flac", "ogg", "amr", "webm", "m4a"})
MOST_CHANNELS = 2


def stems(settings: Settings, job_id: str) -> str:
    """Returns what the keys of a job's transcripts and subtitles begin with."""
    return f"{settings.video.transcript_prefix}{name_stem(job_id, TRANSCRIBE)}"


async def transcribe(work: Work, film: Film) -> Any:
    """Has the sound transcribed, and fetches the transcript.

    Raises:
        Refused: The film has no sound, or none that Transcribe takes.
    """
    if why := unfit_for_transcribe(film, work.tools.settings.video.longest_sound):
        raise Refused(f"{film.info.key} {why}", "UnfitSound")
    asked = said(work.job.request, work.operation, Transcription)
    charge = prices_now().charge(PRICE, film.probe.audio_ms)
    known_by = _known_by(work, asked, film.info)
    if (known := await find_earlier(work, known_by)) and (own := await _copy(work, known.result, asked)):
        return await copied(work, "transcribe", charge.item, known_by, own)

    async def start(name: str) -> str:
        await _start(work, name, film.info, asked)
        return name

    async def collect(name: str) -> Settled:
        return Settled(await _collect(work, _stem(work, name), asked), charge, request_id=name)

    job = ProviderJob(KIND, charge, known_by.fingerprint, start, partial(_look, work), collect)
    return await run_provider_job(work, job)


async def recall_transcript(work: Work) -> str:
    """Returns what is said in the job's film, by a transcript that an earlier job of the same user paid for.

    Raises:
        Refused: None of this version of the object is on record, or nothing is said in it.
        ProviderError: S3 cannot be asked for now.
    """
    store, transcribing = work.tools.store, attrs.evolve(work, operation=TRANSCRIBE)
    key = work.job.request["s3Key"]
    info = await patiently(work, lambda: objects.head(work.tools.aws, work.bucket, key))
    known = await store.link.outlast(
        lambda: operations.transcriptions(store, work.job.user_id, key, RECALLED)
    )
    for run in known:
        asked = said(run["request"], TRANSCRIBE, Transcription)
        if _known_by(transcribing, asked, info).fingerprint == run["fingerprint"]:
            result = await store.link.outlast(partial(operations.result_of, store, run["id"]))
            return _text_of(result, key)
    raise Refused(
        f"no transcript of {key} as it is now is on record: have a video-processing job transcribe it first, "
        "then post this job again",
        "NoTranscript",
    )


def _text_of(transcription: Any, key: str) -> str:
    text: str = transcription["text"] if transcription else ""
    if not text.strip():
        raise Refused(f"nothing is said in {key}, by its transcript: embed its frames", "NoWords")
    return text


def _known_by(work: Work, asked: Transcription, info: objects.ObjectInfo) -> Same:
    # Subtitles are made of the transcript, whichever job had it written.
    return same(work, asked.as_aws(), info.version)


def estimate_transcription(request: Request, settings: Settings) -> tuple[Charge, ...]:
    """Prices the sound of a film of which the length alone is told."""
    longest = round(settings.video.longest_sound * 1000)
    return (prices_now().charge(PRICE, told_ms(request, settings, longest)),)


def unfit_for_transcribe(film: Film, longest: float) -> str | None:
    """Says why Transcribe would refuse a film, or None where nothing speaks against it.

    Args:
        film: The film.
        longest: Seconds that its sound may last.
    """
    probe = film.probe
    if not probe.has_audio:
        return "has no sound to transcribe"
    if probe.container not in CONTAINERS:
        kinds = ", ".join(sorted(CONTAINERS))
        return f"is a {probe.container} file, which Transcribe does not take: make it one of {kinds}"
    if probe.channels > MOST_CHANNELS:
        return f"has sound of {probe.channels} channels; Transcribe takes at most {MOST_CHANNELS}"
    if film.info.size > MOST_BYTES:
        return f"has {film.info.size} bytes; Transcribe takes at most {MOST_BYTES}"
    if probe.audio_ms < SHORTEST_MS:
        return f"has {probe.audio_ms} ms of sound; Transcribe takes at least {SHORTEST_MS}"
    if probe.audio_ms > longest * 1000:
        return f"has {probe.audio_ms / 1000:.0f} s of sound; Transcribe takes at most {longest:.0f}"
    return None


def _stem(work: Work, name: str) -> str:
    return f"{work.tools.settings.video.transcript_prefix}{name}"


async def _copy(work: Work, earlier: Any, asked: Transcription) -> Any:
    """Makes a copy of an earlier job's transcript that is this job's own; None where that one is gone."""
    stem = _stem(work, await job_name(work))
    copying = partial(objects.copy, work.tools.aws, work.bucket, earlier["s3Key"], f"{stem}.json")
    try:
        await patiently(work, copying)
    except Refused as refusal:
        logger.info("the transcript is made again: {}", refusal)
        return None
    return await _collect(work, stem, asked)


async def _start(work: Work, name: str, info: objects.ObjectInfo, asked: Transcription) -> None:
    place = f"s3://{info.bucket}/{info.key}"
    try:
        await call(
            work.tools.aws,
            KIND.service,
            KIND.start,
            TranscriptionJobName=name,
            Media={"MediaFileUri": place},
            OutputBucketName=info.bucket,
            OutputKey=f"{_stem(work, name)}.json",
            **asked.as_aws(),
        )
    except Refused as refusal:
        if refusal.code != "ConflictException":
            raise
        await _check_adopted(work, name, place)


async def _check_adopted(work: Work, name: str, place: str) -> None:
    found = (await _get(work, name))["Media"]["MediaFileUri"]
    if found != place:
        raise Refused(f"Transcribe's job {name} is about {found}, not {place}", "ConflictException")


async def _get(work: Work, name: str) -> Answer:
    answer = await ask(work, "transcribe", "get_transcription_job", TranscriptionJobName=name)
    job: Answer = answer["TranscriptionJob"]
    return job


async def _look(work: Work, name: str) -> State:
    job = await _get(work, name)
    return State(job["TranscriptionJobStatus"], job.get("FailureReason"))


async def _collect(work: Work, stem: str, asked: Transcription) -> Any:
    async def read() -> bytes:
        return await objects.read(work.tools.aws, work.bucket, f"{stem}.json", most=TRANSCRIPT_BYTES)

    results = json.loads(await patiently(work, read))["results"]
    transcription = {
        "text": " ".join(part["transcript"] for part in results["transcripts"]),
        "languageCode": asked.language_code or results.get("language_code"),
        "segments": _segments(results),
        "s3Key": f"{stem}.json",
    }
    if asked.subtitles:
        transcription["subtitles"] = await _write_subtitles(work, stem, asked.subtitles, results)
    return transcription


def _segments(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = results.get("audio_segments")
    if parts is None:  # as in older transcripts
        return [
            {"start": cue.start, "end": cue.end, "text": cue.text} for cue in subtitles.cues(results["items"])
        ]
    return [
        {"start": float(part["start_time"]), "end": float(part["end_time"]), "text": part["transcript"]}
        for part in parts
    ]


async def _write_subtitles(
    work: Work, stem: str, kinds: list[Any], results: Mapping[str, Any]
) -> dict[str, str]:
    cues = subtitles.cues(results["items"])
    keys = {}
    for kind in dict.fromkeys(kinds):
        keys[kind] = f"{stem}.{kind}"
        content = subtitles.WRITERS[kind](cues).encode()
        await objects.write(work.tools.aws, work.bucket, keys[kind], content, subtitles.MEDIA_TYPES[kind])
    return keys
