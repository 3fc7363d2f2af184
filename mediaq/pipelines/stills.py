"""A decoded frame of a film as a picture file: upright, scaled down, as a JPEG, PNG or WebP."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.filter
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.video.frame import VideoFrame

QUANTISER = 4
"""libav's scale for the mjpeg encoder: 2 is best, 31 worst; 4 is like a quality of about 85 elsewhere."""

TURNS = {0: (), 90: ("clock",), 180: ("clock", "clock"), 270: ("cclock",)}
"""Steps of libav's `transpose` filter for each rotation, in degrees clockwise."""


@frozen
class Kind:
    """A kind of picture file.

    Args:
        suffix: Of file names.
        media_type: For browsers.
        codec: libav's encoder.
        pixels: What the encoder takes.
        quantiser: libav's scale of quality, where the encoder has it.
        options: More for the encoder.
    """

    suffix: str
    media_type: str
    codec: str
    pixels: str
    quantiser: int | None = None
    options: Mapping[str, str] = field(factory=dict)


KINDS = {
    "jpeg": Kind("jpg", "image/jpeg", "mjpeg", "yuvj420p", QUANTISER),
    "png": Kind("png", "image/png", "png", "rgb24"),
    "webp": Kind("webp", "image/webp", "libwebp", "yuv420p", options={"quality": "80"}),
}


@frozen
class Still:
    """A picture file.

    Args:
        width: Pixels, upright.
        height: Likewise.
        content: The file.
    """

    width: int
    height: int
    content: bytes


def rotation(frame: VideoFrame) -> int:
    """Returns by how many degrees clockwise a frame is to be turned for display: 0, 90, 180 or 270."""
    # libav counts counterclockwise.
    return round(-frame.rotation / 90) * 90 % 360


def still(frame: VideoFrame, aspect: Fraction, max_side: int, kind: Kind) -> Still:
    """Makes a picture of a frame.

    Args:
        frame: The frame as stored.
        aspect: Width by height of one of its pixels: old cameras store pixels that are not square.
        max_side: Pixels of the longer side at most; a smaller frame is not enlarged.
        kind: The kind of file.
    """
    width = round(frame.width * aspect)
    scale = min(1, max_side / max(width, frame.height))
    picture = frame.reformat(
        width=max(1, round(width * scale)),
        height=max(1, round(frame.height * scale)),
        format=kind.pixels,
        dst_colorspace="ITU601",  # JFIF knows no other, and WebP neither
        interpolation="AREA",
    )
    upright = _turned(picture, rotation(frame))
    return Still(upright.width, upright.height, _encoded(upright, kind))


def _turned(picture: VideoFrame, degrees: int) -> VideoFrame:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    turns = [graph.add("transpose", turn) for turn in TURNS[degrees]]
    graph.link_nodes(source, *turns, graph.add("buffersink")).configure()
    graph.vpush(picture)
    return graph.vpull()


def _encoded(picture: VideoFrame, kind: Kind) -> bytes:
    encoder: Any = av.CodecContext.create(kind.codec, "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = picture.format.name
    encoder.time_base = Fraction(1)
    encoder.options = dict(kind.options)
    if kind.quantiser is not None:
        encoder.qmin = encoder.qmax = kind.quantiser
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))
