"""Watches a film with PyAV: what it is, and the labels of a picture every half second."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
import av.error
from attrs import frozen

from mediaq.embedded.standin import images
from mediaq.embedded.standin.labels import picture_labels
from mediaq.embedded.standin.media import open_media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

# Amazon Rekognition Developer Guide, "Working with stored video": H.264 in MPEG-4 or MOV.
CODEC = "h264"
FORMAT = "mov"
LONGEST_MILLIS = 6 * 60 * 60 * 1000

SAMPLE_SECONDS = 0.5
# Of longer films only the key frames are decoded.
DECODED_WHOLE_SECONDS = 30.0


class BadVideo(Exception):
    """The file is no film that the service takes; the message is the service's."""


@frozen
class Film:
    """What a film is.

    Args:
        codec: FFmpeg's name of the video codec.
        format: FFmpeg's long name of the container.
        duration_millis: How long it is.
        frame_rate: Frames a second, on average.
        width: In pixels.
        height: In pixels.
        color_range: `FULL` or `LIMITED`.
    """

    codec: str
    format: str
    duration_millis: int
    frame_rate: float
    width: int
    height: int
    color_range: str


def watch(file: io.BufferedIOBase) -> tuple[Film, list[dict[str, Any]]]:
    """Probe a film and label it.

    Args:
        file: The film; it is read piece by piece.

    Returns:
        The film, and its labels with their `Timestamp` in milliseconds.

    Raises:
        BadVideo: It is damaged, no H.264 in MP4 or MOV, or too long.
    """
    try:
        with open_media(file) as container:
            film = _probe(container)
            return film, list(_labels(container, film))
    except (av.error.FFmpegError, ValueError) as error:
        raise BadVideo("Unsupported codec/format.") from error


def _probe(container: InputContainer) -> Film:
    streams = container.streams.video
    if (
        not streams
        or streams[0].codec_context.name != CODEC
        or FORMAT not in container.format.name.split(",")
    ):
        raise BadVideo("Unsupported codec/format.")
    stream = streams[0]
    millis = _millis(container, stream)
    if millis > LONGEST_MILLIS:
        raise BadVideo("The duration of the video exceeds the limit of 6 hours.")
    return Film(
        codec=stream.codec_context.name,
        format=container.format.long_name,
        duration_millis=millis,
        frame_rate=float(stream.average_rate or 0),
        width=stream.width,
        height=stream.height,
        color_range="FULL" if stream.codec_context.color_range == 2 else "LIMITED",
    )


def _millis(container: InputContainer, stream: VideoStream) -> int:
    if stream.duration is not None and stream.time_base is not None:
        return int(stream.duration * stream.time_base * 1000)
    if container.duration is None:
        raise BadVideo("Unsupported codec/format.")
    return container.duration * 1000 // av.time_base


def _labels(container: InputContainer, film: Film) -> Iterator[dict[str, Any]]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if film.duration_millis > DECODED_WHOLE_SECONDS * 1000:
        stream.codec_context.skip_frame = "NONKEY"
    seen = False
    for seconds, frame in _samples(container.decode(stream)):
        seen = True
        for label in picture_labels(_picture(frame)):
            yield {"Timestamp": int(seconds * 1000), "Label": label}
    if not seen:
        raise BadVideo("Unsupported codec/format.")


def _samples(frames: Iterator[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
    due = 0.0
    for frame in frames:
        if frame.time is not None and frame.time >= due:
            yield frame.time, frame
            due = frame.time + SAMPLE_SECONDS


def _picture(frame: VideoFrame) -> images.Picture:
    scale = min(1.0, images.MEASURED_SIDE / max(frame.width, frame.height))
    size = {"width": max(1, round(frame.width * scale)), "height": max(1, round(frame.height * scale))}
    # The stub of PyAV gives this method no types.
    small: Image = frame.to_image(**size)  # type: ignore[no-untyped-call]
    return images.Picture(frame.width, frame.height, small)
