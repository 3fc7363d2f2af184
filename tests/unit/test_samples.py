"""The samples that the demo makes for itself."""

from __future__ import annotations

import io
import string

import av
import pytest
from PIL import ExifTags, Image

from mediaq.embedded.samples import draw_picture, film_clip, write_paragraph
from mediaq.pipelines.frames import probe, thumbnails


def test_the_picture_is_a_jpeg_within_what_rekognition_takes() -> None:
    """AWS: at least 80 pixels a side, at most 5 MiB as bytes."""
    picture = draw_picture()
    image = Image.open(io.BytesIO(picture))
    image.load()
    assert image.format == "JPEG"
    assert min(image.size) >= 80
    assert len(picture) < 5 * 1024 * 1024


def test_the_picture_tells_its_text_one_line_each() -> None:
    described = Image.open(io.BytesIO(draw_picture())).getexif()[ExifTags.Base.ImageDescription]
    assert described.split("\n") == ["MEDIAQ", "Every call on the ledger"]


def test_the_film_has_pictures_and_sound_as_long_as_asked() -> None:
    found = probe(io.BytesIO(film_clip(1.0)))
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")
    assert found.duration_ms == pytest.approx(1000, abs=40)


def test_the_film_moves() -> None:
    first, last = thumbnails(io.BytesIO(film_clip(1.0)), count=2, max_side=160)
    assert first.still.content != last.still.content


def test_the_film_can_be_heard() -> None:
    with av.open(io.BytesIO(film_clip(1.0)), "r") as film:
        heard = b"".join(bytes(frame.planes[0]) for frame in film.decode(audio=0))
    assert any(heard)


def test_the_film_tells_what_is_said_in_it() -> None:
    with av.open(io.BytesIO(film_clip(0.5)), "r") as film:
        assert film.metadata["comment"].endswith(".")
        assert len(film.metadata["comment"].split()) > 5


def test_the_paragraph_is_of_a_length_to_analyse() -> None:
    paragraph = write_paragraph()
    assert 500 <= len(paragraph) <= 900
    assert set(paragraph) <= set(string.printable)
    assert paragraph.endswith(".")


def test_samples_are_the_same_every_time() -> None:
    assert draw_picture() == draw_picture()
    assert film_clip(0.5) == film_clip(0.5)
