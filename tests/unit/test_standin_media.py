"""Which films and recordings the stand-in takes, straight from bytes."""

import io
from fractions import Fraction
from typing import Any

import av
import pytest
from standin_media import film, recording

from mediaq.embedded.standin import speech, videos


def encoded(kind: str, codec: str) -> bytes:
    """Two seconds of silence in a container that says 'hello there'."""
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        container.metadata["comment"] = "hello there"
        stream: Any = container.add_stream(codec, rate=48_000, layout="mono")
        context = stream.codec_context
        resampler = av.AudioResampler(context.format.name, "mono", 48_000, context.frame_size or 1024)
        for start in range(0, 96_000, 1_000):
            frame = av.AudioFrame(format="s16", layout="mono", samples=1_000)
            frame.planes[0].update(bytes(2_000))
            frame.sample_rate, frame.pts = 48_000, start
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "codec", "name"),
    [
        ("mp3", "libmp3lame", "mp3"),
        ("mp4", "aac", "mp4"),
        ("ipod", "aac", "m4a"),
        ("ogg", "libopus", "ogg"),
        ("webm", "libopus", "webm"),
        ("flac", "flac", "flac"),
        ("wav", "pcm_s16le", "wav"),
    ],
)
def test_recordings_of_every_format_are_heard(kind: str, codec: str, name: str) -> None:
    heard = speech.listen(io.BytesIO(encoded(kind, codec)))
    assert name in heard.formats
    assert heard.seconds == pytest.approx(2, abs=0.02)
    assert heard.text == "hello there"


def test_length_is_exact() -> None:
    heard = speech.listen(io.BytesIO(recording(Fraction(2001, 1000))))
    assert heard.seconds == Fraction(2001, 1000)
    assert speech.billed_seconds(heard) == 3


def test_loudness_is_told_second_by_second() -> None:
    """Silence between sounds leaves a gap."""
    words = speech.listen(io.BytesIO(recording(3))).words
    assert [(word.text, word.start, word.end) for word in words] == [
        ("Loud", 0, 1.5),
        ("sound", 1.5, 3),
        (".", 0.0, None),
    ]


def test_metadata_that_is_no_utf8_does_no_harm() -> None:
    data = bytearray(encoded("wav", "pcm_s16le"))
    place = data.index(b"hello")
    data[place : place + 5] = b"caf\xe9s"
    assert speech.listen(io.BytesIO(bytes(data))).text.endswith("there")


def test_films_longer_than_half_a_minute_are_seen_by_key_frames() -> None:
    seen, labels = videos.watch(io.BytesIO(film("red", "blue", seconds_each=20)))
    assert seen.duration_millis == 40_000
    colours = {label["Label"]["Name"]: label["Timestamp"] for label in labels}
    assert colours["Red"] < 20_000 <= colours["Blue"]
    assert len({label["Timestamp"] for label in labels}) < 40
