"""Which films are refused before a call, because AWS would refuse them."""

from typing import Any

import attrs
import pytest

from mediaq.aws.objects import ObjectInfo
from mediaq.pipelines.film import Film
from mediaq.pipelines.frames import Probe
from mediaq.pipelines.transcription import CONTAINERS, unfit_for_transcribe
from mediaq.pipelines.video_labels import unfit_for_rekognition

GIB = 1024**3
HOUR = 3_600_000
PROBE = Probe(60_000, 60_000, 640, 360, "h264", "aac", 0, 25.0, 2, "mp4")


def film(size: int = 1000, **changes: Any) -> Film:
    return Film(ObjectInfo("bucket", "film", size, "etag"), attrs.evolve(PROBE, **changes))


@pytest.mark.parametrize(
    "found",
    [
        film(),
        *(film(container=container) for container in sorted(CONTAINERS)),
        film(size=2 * GIB),
        film(audio_ms=500),
        film(audio_ms=4 * HOUR),
        film(channels=1),
    ],
)
def test_transcribe_takes(found: Film) -> None:
    assert unfit_for_transcribe(found, 14400) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (film(audio_codec=None), "has no sound to transcribe"),
        (film(container="mov"), "is a mov file, which Transcribe does not take: make it one of amr, flac,"),
        (film(container="matroska"), "is a matroska file"),
        (film(channels=6), "has sound of 6 channels; Transcribe takes at most 2"),
        (film(size=2 * GIB + 1), "has 2147483649 bytes; Transcribe takes at most 2147483648"),
        (film(audio_ms=499), "has 499 ms of sound; Transcribe takes at least 500"),
        (film(audio_ms=4 * HOUR + 1000), "has 14401 s of sound; Transcribe takes at most 14400"),
    ],
)
def test_transcribe_does_not_take(found: Film, why: str) -> None:
    said = unfit_for_transcribe(found, 14400)
    assert said is not None
    assert said.startswith(why)


@pytest.mark.parametrize(
    "found", [film(), film(container="mov"), film(size=10 * GIB), film(duration_ms=6 * HOUR)]
)
def test_rekognition_takes(found: Film) -> None:
    assert unfit_for_rekognition(found) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (film(video_codec="hevc"), "is hevc in a mp4 file; Rekognition takes h264 in an mp4 or mov file"),
        (film(container="matroska"), "is h264 in a matroska file; Rekognition takes h264 in"),
        (film(container="webm", video_codec="vp9"), "is vp9 in a webm file"),
        (film(size=10 * GIB + 1), "has 10737418241 bytes; Rekognition takes at most 10737418240"),
        (film(duration_ms=6 * HOUR + 1000), "lasts 21601 s; Rekognition takes at most 21600"),
    ],
)
def test_rekognition_does_not_take(found: Film, why: str) -> None:
    said = unfit_for_rekognition(found)
    assert said is not None
    assert said.startswith(why)
