"""Images, films and recordings of known content."""

import io
import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import av
from PIL import Image
from PIL.PngImagePlugin import PngInfo


@cache
def picture(
    colour: str = "red", size: tuple[int, int] = (160, 120), kind: str = "PNG", text: str | None = None
) -> bytes:
    """An image of one colour that may declare a text."""
    out = io.BytesIO()
    image = Image.new("RGB", size, colour)
    if kind == "PNG":
        info = PngInfo()
        if text:
            info.add_text("Description", text)
        image.save(out, "PNG", pnginfo=info)
    else:
        exif = Image.Exif()
        if text:
            exif[0x010E] = text
        image.save(out, kind, exif=exif)
    return out.getvalue()


@cache
def film(
    *colours: str,
    seconds_each: int = 1,
    codec: str = "libx264",
    kind: str = "mp4",
    says: str | None = None,
) -> bytes:
    """A silent film that shows each colour for a while, ten frames a second."""
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        if says:
            container.metadata["comment"] = says
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for colour in colours:
            frame = Image.new("RGB", (128, 96), colour)
            for _ in range(10 * seconds_each):
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))  # type: ignore[no-untyped-call]
        container.mux(stream.encode(None))
    return out.getvalue()


@cache
def recording(
    seconds: Fraction | float = 2, *, loudness: float = 0.8, says: str | None = None, kind: str = "wav"
) -> bytes:
    """A tone of 16,000 samples a second, whose container may declare what is said."""
    out = io.BytesIO()
    rate, codec = 16_000, {"wav": "pcm_s16le", "flac": "flac"}[kind]
    with av.open(out, "w", format=kind) as container:
        if says:
            container.metadata["comment"] = says
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        samples = array("h", _tone(int(seconds * rate), rate, loudness))
        for start in range(0, len(samples), 1000):
            part = samples[start : start + 1000]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(part))
            frame.planes[0].update(part.tobytes())
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def _tone(count: int, rate: int, loudness: float) -> Iterator[int]:
    return (round(math.sin(440 * math.tau * i / rate) * loudness * 32767) for i in range(count))
