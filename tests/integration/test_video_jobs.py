"""Video jobs: what callers may say of them, how they wait for AWS, and how they read a film that S3 drops."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import media
import pytest
import standin_kit
from house import Api, StandIn
from PIL import Image

from mediaq.aws import objects
from mediaq.embedded import samples
from mediaq.embedded.standin import create_app
from mediaq.resources import Resources
from mediaq.worker import working

QUEUE = "video-processing"


def video(key: str = "clip.mp4", item: str = "m", **operations: Any) -> dict[str, Any]:
    return {"mediaItemId": item, "s3Key": key, "operations": operations}


async def read(resources: Resources, api: Api, key: str) -> bytes:
    return await objects.read(resources.tools.aws, api.bucket, key, most=10_000_000)


@pytest.fixture
async def clip(api: Api) -> None:
    await api.upload("clip.mp4", samples.film_clip())


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        (True, "en-US"),
        ({}, "en-US"),
        ({"languageCode": "de-CH"}, "de-CH"),
        ({"languageOptions": ["de-DE", "fr-FR"]}, "de-DE"),
    ],
)
async def test_the_language_is_given_or_identified(
    api: Api, standin: StandIn, clip: None, asked: Any, language: str
) -> None:
    job = await api.run(QUEUE, video(transcribe=asked))
    assert job["status"] == "completed", job["failedReason"]
    transcription = job["returnvalue"]["transcription"]
    assert (transcription["languageCode"], transcription["text"]) == (language, samples.SPOKEN)
    segments = transcription["segments"]
    assert " ".join(segment["text"] for segment in segments) == samples.SPOKEN
    assert (len(segments), segments[-1]["end"]) == (2, pytest.approx(3.0, abs=0.01))


async def test_subtitles_lie_beside_the_transcript(api: Api, resources: Resources, clip: None) -> None:
    job = await api.run(QUEUE, video(transcribe={"subtitles": ["srt", "vtt"]}))
    transcription = job["returnvalue"]["transcription"]
    stem = transcription["s3Key"].removesuffix(".json")
    assert transcription["subtitles"] == {"srt": f"{stem}.srt", "vtt": f"{stem}.vtt"}
    srt, vtt = [(await read(resources, api, f"{stem}.{kind}")).decode() for kind in ("srt", "vtt")]
    assert srt.startswith("1\n00:00:00,000 --> ")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
    for text in (srt, vtt):
        assert "Good morning from the harbour." in text


async def test_an_earlier_transcript_is_reused_by_a_job_that_wants_subtitles_and_the_same_language(
    api: Api, resources: Resources, standin: StandIn, clip: None
) -> None:
    asked = {"languageCode": "en-GB"}
    first = await api.run(QUEUE, video(transcribe=asked))
    job = await api.run(QUEUE, video(item="other", transcribe={**asked, "subtitles": ["vtt"]}))
    assert (job["status"], [cost["certainty"] for cost in job["costs"]]) == ("completed", ["reused"])
    assert (
        "Good morning"
        in (await read(resources, api, job["returnvalue"]["transcription"]["subtitles"]["vtt"])).decode()
    )
    assert job["returnvalue"]["transcription"]["s3Key"] != first["returnvalue"]["transcription"]["s3Key"]
    await api.run(QUEUE, video(item="third", transcribe={"languageCode": "en-US"}))
    assert len(standin.billed()) == 2


async def test_labels_are_found_and_shown_as_asked(api: Api, standin: StandIn, clip: None) -> None:
    every = (await api.run(QUEUE, video(detectLabels=True)))["returnvalue"]["labels"]
    name = every[0]["Label"]["Name"]
    asked = {"includeLabels": [name], "aggregateBy": "SEGMENTS", "sortBy": "NAME"}
    job = await api.run(QUEUE, video(detectLabels=asked))
    labels = job["returnvalue"]["labels"]
    assert {label["Label"]["Name"] for label in labels} == {name}
    assert all("StartTimestampMillis" in label for label in labels)
    assert (await api.run(QUEUE, video(detectLabels={"minConfidence": 100})))["returnvalue"]["labels"] == []


async def test_labels_of_many_pages_are_all_there_once_whatever_page_is_refused_first(
    api: Api, standin: StandIn
) -> None:
    """A hundred seconds have some 200 samples of several labels each."""
    await api.upload("long.mp4", media.film(100, rate=1, keyframe_every=1))
    standin.fault("GetLabelDetection", "throttle", times=3)
    job = await api.run(QUEUE, video("long.mp4", detectLabels=True))
    labels = job["returnvalue"]["labels"]
    seen = [(label["Timestamp"], label["Label"]["Name"]) for label in labels]
    assert len(seen) > 250
    assert seen == sorted(set(seen))
    assert job["attemptsMade"] == 1


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
async def test_thumbnails_and_poster_are_as_asked(
    api: Api, resources: Resources, clip: None, kind: str
) -> None:
    asked = {"count": 3, "side": 100, "format": kind, "poster": {"atMs": 2000}}
    job = await api.run(QUEUE, video(generateThumbnails=asked))
    found = job["returnvalue"]["thumbnails"]
    suffix = {"jpeg": "jpg"}.get(kind, kind)
    names = ["1", "2", "3", "poster"]
    assert [each["s3Key"] for each in found] == [f"thumbnails/{job['id']}/{name}.{suffix}" for name in names]
    assert [each["atMs"] for each in found] == [480, 1480, 2480, 2000]
    assert [each.get("poster", False) for each in found] == [False, False, False, True]
    for each in found:
        picture = Image.open(io.BytesIO(await read(resources, api, each["s3Key"])))
        assert picture.format == kind.upper()
        assert picture.size == (each["width"], each["height"]) == (100, 56)


async def test_what_the_film_is_stands_on_its_media_item(api: Api, resources: Resources) -> None:
    content = media.film(50, sound=True, prepare=lambda stream: stream.set_display_rotation(-90))
    await api.upload("clip.mp4", content)
    job = await api.run(QUEUE, video(generateThumbnails={"count": 1}))
    assert set(job["returnvalue"]) == {"thumbnails"}
    (thumbnail,) = job["returnvalue"]["thumbnails"]
    assert (thumbnail["width"], thumbnail["height"]) == (90, 160)
    probe = await resources.store.pool.fetchval("select metadata->'probe' from media_items where id = 'm'")
    assert probe == {
        "durationMs": 2000,
        "sizeBytes": len(content),
        "container": "mp4",
        "width": 160,
        "height": 90,
        "rotation": 90,
        "frameRate": 25.0,
        "videoCodec": "h264",
        "audioCodec": "aac",
        "audioMs": 2000,
        "audioChannels": 2,
    }


async def test_what_aws_does_not_take_is_refused_before_a_call_and_the_rest_is_done(
    api: Api, standin: StandIn
) -> None:
    await api.upload("film.mkv", media.film(sound=True, kind="matroska"))
    job = await api.run(QUEUE, video("film.mkv", transcribe=True, detectLabels=True, generateThumbnails=True))
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("failed", 1, [])
    assert "transcribe: film.mkv is a matroska file, which Transcribe does not take" in job["failedReason"]
    assert "detectLabels: film.mkv is h264 in a matroska file; Rekognition takes" in job["failedReason"]
    assert set(job["returnvalue"]) == {"thumbnails"}
    assert standin.calls() == []


@pytest.fixture
def endless(overrides: dict[str, str], s3_url: str) -> Iterator[None]:
    """Has AWS work on each job for minutes, and mediaq run one video job at a time."""
    with standin_kit.serving(create_app(s3_url=s3_url, seconds_per_state=120)) as url:
        overrides |= {
            "AWS_ENDPOINT_URL": url,
            "MEDIAQ_CONCURRENCY": f"{QUEUE}=1",
            "MEDIAQ_AWS__LONGEST_POLL": "0.1",
            "MEDIAQ_WORKER__GRACE": "0.2",
        }
        yield


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await look():  # noqa: ASYNC110 - it comes true in another process
            await asyncio.sleep(0.05)


async def test_jobs_that_wait_for_aws_hold_no_slot_however_often_they_look(endless: None, api: Api) -> None:
    """In a lane of one slot two jobs wait at AWS at the same time, and a third runs meanwhile."""
    await api.upload("clip.mp4", samples.film_clip())
    waiting = [
        await api.accept(QUEUE, video(item="a", transcribe=True)),
        await api.accept(QUEUE, video(item="b", detectLabels=True)),
    ]

    async def both_wait() -> bool:
        return all([await at_aws(api, job_id) for job_id in waiting])

    with working(api.settings):
        await until(both_wait)
        third = await api.accept(QUEUE, video(item="c", generateThumbnails=True))
        await until(lambda: has_status(api, third, "completed"))
        assert await both_wait()


async def at_aws(api: Api, job_id: str) -> bool:
    job = await api.job(QUEUE, job_id)
    messages = [task.get("message") for task in job["progress"]["subTasks"].values()]
    return job["status"] == "active" and any(message in ("queued", "in progress") for message in messages)


async def has_status(api: Api, job_id: str, status: str) -> bool:
    return bool((await api.job(QUEUE, job_id))["status"] == status)


@pytest.fixture
def hasty(overrides: dict[str, str]) -> None:
    """Has an attempt at a video job end soon."""
    overrides |= {"MEDIAQ_QUEUES__VIDEO_PROCESSING__TIMEOUT": "8", "MEDIAQ_AWS__PROVIDER_PATIENCE": "0"}


async def test_a_job_that_aws_does_not_end_is_left_to_the_next_attempt(
    endless: None, hasty: None, api: Api
) -> None:
    """Though its own time stands still while it waits."""
    await api.upload("clip.mp4", samples.film_clip())
    job_id = await api.accept(QUEUE, video(transcribe=True))
    with working(api.settings):
        await until(lambda: has_status(api, job_id, "delayed"))
    job = await api.job(QUEUE, job_id)
    assert job["failedReason"] == "transcribe: Transcribe has not done its job in 8 s"
    assert [cost["certainty"] for cost in job["costs"]] == ["possibly_billed"]


class Dropping:
    """Relays to a server, and drops a connection whenever so many bytes have come back.

    Args:
        url: The server's address.
        every: How many bytes.
    """

    def __init__(self, url: str, every: int) -> None:
        self._target = urlsplit(url)
        self._every = every
        self._passed = 0
        self.dropped = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        with suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, back, None), self._pump(there, writer, writer))
        for end in (writer, back):
            end.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        counted: asyncio.StreamWriter | None,
    ) -> None:
        while piece := await reader.read(65_536):
            self._passed += len(piece) if counted else 0
            if self._passed >= self._every:
                self._passed, self.dropped = 0, self.dropped + 1
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError


@pytest.fixture
async def dropping(overrides: dict[str, str], s3_url: str) -> AsyncIterator[Dropping]:
    """Has mediaq's connections to S3 break in the middle of every second block or so."""
    relay = Dropping(s3_url, every=1_600_000)
    async with relay as url:
        overrides["AWS_ENDPOINT_URL_S3"] = url
        yield relay


async def test_a_dropped_read_is_repeated_and_not_the_operation(
    dropping: Dropping, api: Api, resources: Resources
) -> None:
    content = media.film(60, size=(640, 360), draw=media.noise, keyframe_every=1)
    assert len(content) > 4_000_000
    await api.upload("noise.mp4", content)
    job = await api.run(QUEUE, video("noise.mp4", generateThumbnails={"count": 4}))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert dropping.dropped > 1
    runs = await resources.store.pool.fetch("select operation, state from operation_runs")
    assert sorted((run["operation"], run["state"]) for run in runs) == [
        ("generateThumbnails", "succeeded"),
        ("probe", "succeeded"),
    ]
