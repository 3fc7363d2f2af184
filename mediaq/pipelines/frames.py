"""Looks into a film through ranged reads: what it is, and pictures from it, in a fixed amount of memory."""

from __future__ import annotations

import io
from contextlib import contextmanager
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import av
import av.error
from attrs import frozen
from av.stream import Disposition

from mediaq.errors import UnreadableMedia
from mediaq.pipelines.ranged import RangedFile
from mediaq.pipelines.stills import KINDS, Kind, Still, rotation, still

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Probe", "RangedFile", "Thumbnail", "poster", "probe", "thumbnails"]

BinaryFile = io.RawIOBase | io.BufferedIOBase

MAX_PIXELS = 139_264 * 256
"""The largest picture decoded: H.264's own limit, 139,264 macroblocks (ITU-T H.264, table A-1, level 6.2).

A file of a few kilobytes may otherwise claim a picture that fills the memory.
"""

DEMUXERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,wav,mp3,aac,flac,amr"
"""The containers that are opened, by libav's names.

Left out on purpose: playlists (hls, concat, dash), which make libav open whatever other file or address they
name, and pictures (png_pipe, jpeg_pipe, gif), which libav takes for films of one frame.
"""

HEAD = 64
"""Bytes in which a Matroska file says what kind it is (RFC 8794, EBML header)."""

LEAD = 10 * 1_000_000
"""How much earlier a second try begins, in microseconds: MPEG-TS has no index of where decoding can begin."""


@frozen
class Probe:
    """What a media file is.

    Args:
        duration_ms: Playing time in milliseconds.
        audio_ms: Playing time of the sound, rounded up; that of the file where the sound does not say.
        width: Pixels of the picture as stored, before rotation; None without pictures.
        height: Likewise.
        video_codec: libav's name, such as `h264`; None without pictures. A cover picture is not a film.
        audio_codec: libav's name, such as `aac`; None without sound.
        rotation: Degrees clockwise by which a picture is to be turned for display: 0, 90, 180 or 270.
        frame_rate: Frames a second, on average; None without pictures, or where the file does not say.
        channels: Channels of the sound; 0 without sound.
        container: The kind of file, such as `mp4`, `mov`, `webm` or `matroska`; else libav's name.
    """

    duration_ms: int
    audio_ms: int
    width: int | None
    height: int | None
    video_codec: str | None
    audio_codec: str | None
    rotation: int
    frame_rate: float | None
    channels: int
    container: str

    @property
    def has_video(self) -> bool:
        """Whether there are moving pictures."""
        return self.video_codec is not None

    @property
    def has_audio(self) -> bool:
        """Whether there is sound, silent or not."""
        return self.audio_codec is not None


@frozen
class Thumbnail:
    """A picture from a film.

    Args:
        at_ms: When the film shows it, in milliseconds from its start.
        still: The picture.
    """

    at_ms: int
    still: Still


def probe(file: BinaryFile) -> Probe:
    """Reads what a media file is from its headers and its first picture.

    Args:
        file: The film or sound, such as a `RangedFile`; stays open.

    Returns:
        Its playing time, size, codecs, rotation and rates.

    Raises:
        UnreadableMedia: It is empty, cut short, corrupt or neither film nor sound.
        Exception: Whatever reading from `file` raised.
    """
    file.seek(0)
    head = file.read(HEAD) or b""
    with _opened(file) as container:
        video = _film(container)
        sound = next(iter(container.streams.audio), None)
        if not (video or sound):
            raise UnreadableMedia("the file holds neither moving pictures nor sound")
        duration = _duration(container)
        first = _first_frame(container, video) if video else None
        return Probe(
            duration_ms=round(duration / 1000),
            audio_ms=_sounding(sound, duration),
            width=first.width if first else None,
            height=first.height if first else None,
            video_codec=_codec(video) if video else None,
            audio_codec=_codec(sound) if sound else None,
            rotation=rotation(first) if first else 0,
            frame_rate=_frame_rate(video) if video else None,
            channels=sound.channels if sound and sound.codec_context else 0,
            container=_kind(container, head),
        )


def thumbnails(
    file: BinaryFile, *, count: int, max_side: int, kind: Kind = KINDS["jpeg"]
) -> Iterator[Thumbnail]:
    """Takes pictures from a film: those shown at the middle of each of `count` equal slices of its time.

    They come one by one, so that only one is held, and fewer of them when the film has fewer frames or is cut
    short.

    Args:
        file: The film, such as a `RangedFile`; stays open.
        count: How many pictures.
        max_side: Pixels of the longer side at most; a smaller film is not enlarged.
        kind: The kind of file that each is made.

    Yields:
        The pictures, upright and in order of time.

    Raises:
        UnreadableMedia: It is no film, or no frame of it can be decoded.
        Exception: Whatever reading from `file` raised.
    """
    with _opened(file) as container:
        video = _shown(container)
        duration = _duration(container)
        times = (duration * (2 * number + 1) // (2 * count) for number in range(count))
        for frame in _frames_at(container, video, times):
            yield _thumbnail(container, video, frame, max_side, kind)


def poster(
    file: BinaryFile, *, at_ms: int | None = None, max_side: int, kind: Kind = KINDS["jpeg"]
) -> Thumbnail:
    """Takes the picture that stands for a film.

    Args:
        file: The film, such as a `RangedFile`; stays open.
        at_ms: When the film shows it, in milliseconds from its start, the last one where it ends before;
            None: after a tenth of the film, when most have faded in.
        max_side: Pixels of the longer side at most; a smaller film is not enlarged.
        kind: The kind of file that it is made.

    Raises:
        UnreadableMedia: It is no film, or no frame of it can be decoded.
        Exception: Whatever reading from `file` raised.
    """
    with _opened(file) as container:
        video = _shown(container)
        duration = _duration(container)
        time = duration // 10 if at_ms is None else min(at_ms * 1000, duration)
        return _thumbnail(container, video, next(_frames_at(container, video, [time])), max_side, kind)


class _Source:
    """What libav reads from: remembers a read's failure, which libav may take for the end of the file."""

    def __init__(self, file: BinaryFile) -> None:
        self.failure: Exception | None = None
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes | None:
        # PyAV holds one failure until libav returns: a second read must not fail on top of it.
        if self.failure:
            return b""
        try:
            return self._file.read(size)
        except Exception as error:
            self.failure = error
            raise


@contextmanager
def _opened(file: BinaryFile) -> Iterator[InputContainer]:
    source = _Source(file)
    file.seek(0)
    only_films = {"format_whitelist": DEMUXERS}
    try:
        with av.open(source, "r", container_options=only_films, **_any_titles()) as container:
            yield container
    except av.error.FFmpegError as error:
        raise UnreadableMedia(_reason(file, error)) from error
    finally:
        if source.failure:
            raise source.failure


def _any_titles() -> dict[str, Any]:
    """PyAV 18 stops at titles that are not UTF-8 unless told otherwise; 19 never does and cannot be told."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def _reason(file: BinaryFile, error: av.error.FFmpegError) -> str:
    file.seek(0)
    head = file.read(12) or b""
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and isinstance(error, av.error.InvalidDataError):
        return "the file begins like an MP4 but its index (moov) is missing or damaged: it may be cut short"
    return "the file is no film or sound of a known kind (MP4, MOV, WebM, MP3, ...), or it is damaged"


def _film(container: InputContainer) -> VideoStream | None:
    cover = Disposition.attached_pic
    video = next((stream for stream in container.streams.video if not stream.disposition & cover), None)
    if video is None:
        return None
    if video.codec_context is None:
        raise UnreadableMedia("the pictures are in a codec that is not known here")
    if video.width * video.height > MAX_PIXELS:
        raise UnreadableMedia(
            f"the picture has {video.width} x {video.height} pixels, more than {MAX_PIXELS:,}"
        )
    if container.duration is None and video.frames == 1:
        raise UnreadableMedia("the file is a picture (AVIF or HEIC), not a film")
    # The headers may name one size and the pictures another.
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return video


def _shown(container: InputContainer) -> VideoStream:
    video = _film(container)
    if video is None:
        raise UnreadableMedia("the file holds sound but no moving pictures")
    return video


def _frame_rate(video: VideoStream) -> float | None:
    return round(float(video.average_rate), 3) if video.average_rate else None


def _kind(container: InputContainer, head: bytes) -> str:
    """What libav gives one name is told apart by what the file itself says."""
    names = container.format.name.split(",")
    if "mov" in names:
        brand = container.metadata.get("major_brand", "qt").strip().lower()
        return {"qt": "mov", "m4a": "m4a"}.get(brand, "3gp" if brand.startswith("3g") else "mp4")
    if "webm" in names:
        return "webm" if b"webm" in head else "matroska"
    return names[0]


def _codec(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _start(container: InputContainer) -> int:
    return container.start_time or 0


def _duration(container: InputContainer) -> int:
    """Microseconds; a browser's recording does not say, so that all its packets are looked at."""
    if container.duration:
        return container.duration
    return max(map(_end, container.demux()), default=0) - _start(container)


def _sounding(sound: Stream | None, duration: int) -> int:
    if sound is None:
        return 0
    seconds = None if sound.duration is None or sound.time_base is None else sound.duration * sound.time_base
    return ceil(duration / 1000 if seconds is None else seconds * 1000)


def _end(packet: Packet[Stream]) -> int:
    if packet.pts is None:
        return 0
    return round((packet.pts + (packet.duration or 0)) * packet.time_base * av.time_base)


def _frames_at(container: InputContainer, video: VideoStream, times: Iterable[int]) -> Iterator[VideoFrame]:
    """The different ones among the frames shown at `times`; the first of the film if there is none."""
    last = None
    for time in times:
        frame = _frame_at(container, video, time)
        if frame is not None and frame.pts != last:
            last = frame.pts
            yield frame
    if last is None:
        yield _first_frame(container, video)


def _first_frame(container: InputContainer, video: VideoStream) -> VideoFrame:
    frame = _frame_at(container, video, 0)
    if frame is None:
        raise UnreadableMedia("no picture of the film can be decoded: the file is cut short or damaged")
    return frame


def _frame_at(container: InputContainer, video: VideoStream, time: int) -> VideoFrame | None:
    """The frame shown `time` microseconds after the start, or the nearest that can be had."""
    frame = None
    for lead in (0, LEAD):
        if _sought(container, time - lead):
            frame = _last_until(container, video, time)
        if frame and _time(container, frame) <= time:
            break
    return frame


def _sought(container: InputContainer, time: int) -> bool:
    try:
        container.seek(_start(container) + time)
    except av.error.FFmpegError:  # AVI lets nobody go before its start
        return False
    return True


def _last_until(container: InputContainer, video: VideoStream, time: int) -> VideoFrame | None:
    """Decodes forward from here to the last frame up to `time`; the first of all if that is later."""
    last = None
    for frame in _decoded(container, video):
        if last and _time(container, frame) > time:
            break
        last = frame
    return last


def _decoded(container: InputContainer, video: VideoStream) -> Iterator[VideoFrame]:
    for packet in container.demux(video):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # damaged: the next one may be whole
            continue
        yield from (frame for frame in frames if frame.pts is not None)


def _time(container: InputContainer, frame: VideoFrame) -> int:
    return round(frame.time * av.time_base) - _start(container)


def _thumbnail(
    container: InputContainer, video: VideoStream, frame: VideoFrame, max_side: int, kind: Kind
) -> Thumbnail:
    at_ms = round(_time(container, frame) / 1000)
    return Thumbnail(at_ms, still(frame, video.sample_aspect_ratio or Fraction(1), max_side, kind))
