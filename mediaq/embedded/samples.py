"""Sample media, made on the spot: a picture, a film with sound and a paragraph, the same bytes every time."""

from __future__ import annotations

import io
import math
from array import array
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from PIL import ExifTags, Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

PICTURE_SIZE = (800, 600)
PICTURE_LINES = ("MEDIAQ", "Every call on the ledger")

FILM_SIZE = (640, 360)
FRAMES_PER_SECOND = 25
SPOKEN = "Good morning from the harbour. The ferry leaves at nine, and the coffee is still warm."

SAMPLES_PER_SECOND = 44_100
TONES_HZ = (440, 550, 660)

NIGHT, SAND, CORAL, LEAF = (24, 32, 56), (242, 227, 194), (233, 96, 79), (72, 150, 110)


def draw_picture() -> bytes:
    """Draws shapes and two lines of text.

    Returns:
        A JPEG; its EXIF ImageDescription holds the lines of text, for the AWS stand-in to read.
    """
    picture = Image.new("RGB", PICTURE_SIZE, NIGHT)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((560, 60, 740, 240), fill=SAND)
    draw.polygon(((40, 430), (240, 150), (440, 430)), fill=LEAF)
    draw.rectangle((440, 300, 600, 430), fill=CORAL)
    for line, (size, top) in zip(PICTURE_LINES, ((72, 440), (36, 530)), strict=True):
        draw.text((40, top), line, fill=SAND, font=ImageFont.load_default(size))
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "\n".join(PICTURE_LINES)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88, exif=exif)
    return out.getvalue()


def film_clip(seconds: float = 3.0) -> bytes:
    """Films a ball that crosses the picture while a tone climbs.

    Args:
        seconds: Playing time.

    Returns:
        An MP4 with H.264 pictures and AAC sound; its `comment` is what the AWS stand-in hears in it.
    """
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as film:
        film.metadata["comment"] = SPOKEN
        pictures = film.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "ultrafast"})
        pictures.width, pictures.height = FILM_SIZE
        pictures.pix_fmt = "yuv420p"
        sound = film.add_stream("aac", rate=SAMPLES_PER_SECOND, layout="mono")
        _add_pictures(film, pictures, seconds)
        _add_sound(film, sound, seconds)
    return out.getvalue()


def _add_pictures(film: OutputContainer, stream: VideoStream, seconds: float) -> None:
    total = round(seconds * FRAMES_PER_SECOND)
    for number in range(total):
        scene = _scene(number / total)
        film.mux(stream.encode(av.VideoFrame.from_bytes(scene.tobytes(), *FILM_SIZE)))
    film.mux(stream.encode(None))


def _scene(progress: float) -> Image.Image:
    width, height = FILM_SIZE
    scene = Image.new("RGBA", FILM_SIZE, NIGHT)
    draw = ImageDraw.Draw(scene)
    draw.rectangle((0, height - 60, width, height), fill=LEAF)
    draw.rectangle((0, height - 8, round(width * progress), height), fill=SAND)
    bounce = abs(math.sin(progress * 3 * math.pi))
    left, top = round(progress * (width - 80)), round((height - 140) * (1 - bounce))
    draw.ellipse((left, top, left + 80, top + 80), fill=CORAL)
    return scene


def _add_sound(film: OutputContainer, stream: AudioStream, seconds: float) -> None:
    samples = array("h", _tones(round(seconds * SAMPLES_PER_SECOND)))
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    frame.sample_rate, frame.time_base, frame.pts = SAMPLES_PER_SECOND, Fraction(1, SAMPLES_PER_SECOND), 0
    frame.planes[0].update(samples.tobytes())
    film.mux(stream.encode(frame))
    film.mux(stream.encode(None))


def _tones(total: int) -> Iterator[int]:
    for number in range(total):
        hertz = TONES_HZ[number * len(TONES_HZ) // total]
        yield round(8_000 * math.sin(math.tau * hertz * number / SAMPLES_PER_SECOND))


def write_paragraph() -> str:
    """Writes a few English sentences, glad in tone, that name people and places.

    Returns:
        About 600 characters.
    """
    return (
        "Last Saturday Clara Lindqvist opened her small bakery on Harbour Street in Bergen, and it was a "
        "wonderful morning. Neighbours queued from seven o'clock; the cinnamon buns were superb, and by noon "
        "every shelf was happily empty. Her friend Tomas Okafor, who had travelled all the way from Lisbon, "
        "played the accordion and made us all smile. The mayor, Ingrid Dahl, praised the kind staff and the "
        "beautiful old oven, which Clara had rescued from a farm near Voss. Rain was promised, but the sun "
        "stayed out over the fjord. We loved every minute, and we will gladly come back next week."
    )
