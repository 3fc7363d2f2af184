"""Small films, sounds and pictures, made on the spot; each frame of a film shows its own number as a grey."""

from __future__ import annotations

import io
import random
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import OutputContainer
    from av.video.stream import VideoStream

GREYS = 16
"""How many greys tell frames apart: few enough to survive lossy compression; the 17th is black again."""

STEP = 255 // (GREYS - 1)
SAMPLES_PER_SECOND = 44_100


def numbered(number: int, size: tuple[int, int]) -> Image.Image:
    """The frame that shows `number`, modulo 16, as its grey."""
    grey = number % GREYS * STEP
    return Image.new("RGBA", size, (grey, grey, grey))


def noise(number: int, size: tuple[int, int]) -> Image.Image:
    """A frame of noise, which no encoder can make small."""
    return Image.frombytes("RGBA", size, random.Random(number).randbytes(size[0] * size[1] * 4))  # noqa: S311  # not for secrets


def number_shown(jpeg: bytes) -> int:
    """The number, modulo 16, that a picture made by `numbered` shows."""
    picture = Image.open(io.BytesIO(jpeg)).convert("L").resize((1, 1))
    return round(picture.tobytes()[0] / STEP)


def film(
    frames: int = 50,
    *,
    size: tuple[int, int] = (160, 90),
    rate: Fraction | int = 25,
    kind: str = "mp4",
    codec: str = "libx264",
    keyframe_every: int = 25,
    sound: bool = False,
    sound_seconds: float | None = None,
    draw: Callable[[int, tuple[int, int]], Image.Image] = numbered,
    prepare: Callable[[VideoStream], object] = lambda _: None,
    **muxer_options: str,
) -> bytes:
    """A film; its MP4 has the index at the end. `prepare` may set more on the stream before it is encoded."""
    out = io.BytesIO()
    with av.open(out, "w", format=kind, options=muxer_options) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = keyframe_every
        prepare(stream)
        audio: Any = container.add_stream("aac", rate=SAMPLES_PER_SECOND) if sound else None
        for number in range(frames):
            container.mux(stream.encode(_frame(draw(number, size))))
        container.mux(stream.encode(None))
        if audio:
            _add_silence(container, audio, seconds=sound_seconds or frames / rate)
    return out.getvalue()


def sound(seconds: float = 1.0) -> bytes:
    """An M4A without pictures."""
    out = io.BytesIO()
    with av.open(out, "w", format="ipod") as container:
        _add_silence(container, container.add_stream("aac", rate=SAMPLES_PER_SECOND), seconds)
    return out.getvalue()


def surround_sound() -> bytes:
    """A second of six channels."""
    out = io.BytesIO()
    with av.open(out, "w", format="ipod") as container:
        audio = container.add_stream("aac", rate=SAMPLES_PER_SECOND, layout="5.1")
        frame = av.AudioFrame("fltp", "5.1", SAMPLES_PER_SECOND)
        frame.sample_rate, frame.time_base, frame.pts = SAMPLES_PER_SECOND, Fraction(1, SAMPLES_PER_SECOND), 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return out.getvalue()


def covered_sound() -> bytes:
    """An MP3 with a cover picture."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        audio = container.add_stream("mp3", rate=SAMPLES_PER_SECOND)
        cover: Any = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 100, 60, "rgb24"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(_frame(numbered(3, (100, 60)))))
        container.mux(cover.encode(None))
        _add_silence(container, audio, seconds=1)
    return out.getvalue()


def _frame(picture: Image.Image) -> av.VideoFrame:
    return av.VideoFrame.from_bytes(picture.tobytes(), *picture.size)


def _add_silence(container: OutputContainer, stream: Any, seconds: float | Fraction) -> None:
    container.mux(stream.encode(_silence(seconds)))
    container.mux(stream.encode(None))


def _silence(seconds: float | Fraction, start: int = 0) -> av.AudioFrame:
    frame = av.AudioFrame("s16", "mono", round(seconds * SAMPLES_PER_SECOND))
    frame.sample_rate, frame.time_base = SAMPLES_PER_SECOND, Fraction(1, SAMPLES_PER_SECOND)
    frame.pts = start * SAMPLES_PER_SECOND
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return frame


def picture(kind: str, size: tuple[int, int] = (100, 60)) -> bytes:
    """A picture file; `kind` is Pillow's name, such as `PNG`."""
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind)
    return out.getvalue()


def index_first(mp4: bytes) -> bytes:
    """The same film with its index before its pictures, as for the web."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        with (
            av.open(io.BytesIO(mp4), "r") as source,
            av.open(str(path), "w", options={"movflags": "faststart"}) as target,
        ):
            copies = {stream: target.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = copies[packet.stream]
                    target.mux(packet)
        return path.read_bytes()


def write_long_film(path: Path, size: int) -> None:
    """Writes a film of at least `size` bytes, with sound, whose second of noise comes again and again."""
    second = film(25, size=(1280, 720), draw=noise, prepare=_without_b_frames)
    with av.open(io.BytesIO(second), "r") as source, av.open(str(path), "w", format="mp4") as target:
        pictures = source.streams.video[0]
        packets = [(bytes(packet), packet.is_keyframe) for packet in source.demux(pictures) if packet.size]
        stream = target.add_stream_from_template(pictures)
        audio: Any = target.add_stream("aac", rate=SAMPLES_PER_SECOND)
        for start in range(1 + size // len(second)):
            for number, (data, is_key) in enumerate(packets):
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), is_key
                packet.pts = packet.dts = 25 * start + number
                target.mux(packet)
            target.mux(audio.encode(_silence(1, start)))
        target.mux(audio.encode(None))


def _without_b_frames(stream: VideoStream) -> None:
    stream.codec_context.max_b_frames = 0


def padded(mp4: bytes, size: int) -> bytes:
    """The same film, index at the end, made longer by `size` bytes of nothing before the index."""
    index = mp4.rindex(b"moov") - 4
    return mp4[:index] + size.to_bytes(4, "big") + b"free" + bytes(size - 8) + mp4[index:]


def cut(data: bytes, share: float) -> bytes:
    """The first `share` of a file, as an upload that broke off leaves it."""
    return data[: int(len(data) * share)]
