"""Listens to a recording with PyAV: how long it is, how loud, and the words that its metadata declares."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

import av
import av.error
from attrs import frozen
from av.audio.resampler import AudioResampler

from mediaq.embedded.standin.media import open_media

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# FFmpeg's names of containers, and what Transcribe calls them.
FORMATS = {
    "mp3": ("mp3",),
    "mov": ("mp4", "m4a"),
    "wav": ("wav",),
    "flac": ("flac",),
    "ogg": ("ogg",),
    "amr": ("amr",),
    "webm": ("webm",),
}
# Amazon Transcribe Developer Guide, "Guidelines and quotas".
LONGEST_SECONDS = 4 * 60 * 60
SHORTEST_SECONDS = Fraction(1, 2)
# Amazon Transcribe Developer Guide, "Data input and output".
MOST_CHANNELS = 2
# Where a Matroska file says what kind it is.
HEAD = 64

TEXT_KEYS = ("comment", "title")
HEARD_RATE = 8000
HEARD_SECONDS = 600
FULL_SCALE = 32768
# The least peak, as a share of full scale, that each word stands for.
LOUDNESS = ((0.5, "Loud"), (0.1, "Moderate"), (0.01, "Quiet"))


class BadAudio(Exception):
    """The recording is none that the service takes; the message is the service's."""


@frozen
class Word:
    """A spoken word, or a mark that belongs to the word before (`end` is None).

    Args:
        text: The word or mark.
        start: When it begins, in seconds.
        end: When it ends, in seconds.
    """

    text: str
    start: float = 0.0
    end: float | None = None


@frozen
class Recording:
    """A recording.

    Args:
        formats: What Transcribe may call its container.
        sample_rate: In hertz.
        seconds: How long its audio is, exactly.
        words: What is said.
    """

    formats: tuple[str, ...]
    sample_rate: int
    seconds: Fraction
    words: list[Word]

    @property
    def text(self) -> str:
        """The transcript in one string."""
        return joined(self.words)


def joined(words: list[Word]) -> str:
    """Return words and marks as text."""
    return "".join(word.text if word.end is None else f" {word.text}" for word in words).strip()


def listen(file: io.BufferedIOBase) -> Recording:
    """Probe a recording and write down what it says.

    Args:
        file: The recording; it is read piece by piece.

    Raises:
        BadAudio: It is unreadable, has no audio, or is too short or too long.
    """
    try:
        head = file.read(HEAD)
        file.seek(0)
        with open_media(file) as container:
            return _recording(container, head)
    except (av.error.FFmpegError, ValueError) as error:
        raise BadAudio("Unsupported media format.") from error


def _recording(container: InputContainer, head: bytes) -> Recording:
    formats = _formats(container, head)
    if not formats or not container.streams.audio:
        raise BadAudio("Unsupported media format.")
    stream = container.streams.audio[0]
    if stream.channels > MOST_CHANNELS:
        raise BadAudio("Invalid number of channels: number of channels too large.")
    seconds = audio_seconds(container, stream)
    if seconds < SHORTEST_SECONDS:
        raise BadAudio(
            "The input media file length is too small. "
            "Check the length of the file and try your request again."
        )
    if seconds > LONGEST_SECONDS:
        raise BadAudio("Invalid file size: file size too large.")
    said = declared_words(container, stream)
    words = list(_spread(said, float(seconds)) if said else _sounds(container, stream))
    return Recording(formats, stream.sample_rate, seconds, words)


def _formats(container: InputContainer, head: bytes) -> tuple[str, ...]:
    names = container.format.name.split(",")
    # QuickTime and Matroska have the demuxers of MP4 and WebM, and are not among the formats.
    if container.metadata.get("major_brand", "").strip() == "qt" or ("webm" in names and b"webm" not in head):
        return ()
    return tuple(name for key, group in FORMATS.items() if key in names for name in group)


def audio_seconds(container: InputContainer, stream: AudioStream) -> Fraction:
    """Return the audio's exact length: the stream's own duration, else the container's."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    if container.duration is None:
        raise BadAudio("Unsupported media format.")
    return Fraction(container.duration, av.time_base)


def declared_words(container: InputContainer, stream: AudioStream) -> list[str]:
    """Return the words of the `comment`, or else the `title`, of the container or its audio."""
    tags = {
        key.lower(): value
        for source in (stream.metadata, container.metadata)
        for key, value in source.items()
    }
    return next((words for key in TEXT_KEYS if (words := tags.get(key, "").split())), [])


def _spread(texts: list[str], seconds: float) -> Iterator[Word]:
    """Give each word a share of the time by its length."""
    total = sum(map(len, texts))
    start = 0.0
    for text in texts:
        end = start + len(text) / total * seconds
        bare = text.rstrip(".,!?;:")
        if bare:
            yield Word(bare, start, end)
        yield from (Word(mark) for mark in text[len(bare) :])
        start = end


def _sounds(container: InputContainer, stream: AudioStream) -> Iterator[Word]:
    """Describe the loudness second by second; silence says nothing."""
    seconds = enumerate(_loudness(container, stream))
    for name, group in groupby(seconds, key=lambda second: second[1]):
        run = list(group)
        if name:
            first, last = run[0][0], run[-1][0] + 1
            middle = (first + last) / 2
            yield from (Word(name, first, middle), Word("sound", middle, last), Word("."))


def _loudness(container: InputContainer, stream: AudioStream) -> Iterator[str]:
    samples = array("h")
    for chunk in _samples(container, stream):
        samples.extend(chunk)
        while len(samples) >= HEARD_RATE:
            yield _name_of(samples[:HEARD_RATE])
            del samples[:HEARD_RATE]
    if samples:
        yield _name_of(samples)


def _samples(container: InputContainer, stream: AudioStream) -> Iterator[array[int]]:
    resampler = AudioResampler(format="s16", layout="mono", rate=HEARD_RATE)
    heard = 0
    for frame in container.decode(stream):
        for plain in resampler.resample(frame):
            yield array("h", bytes(plain.planes[0])[: plain.samples * 2])
            heard += plain.samples
        if heard >= HEARD_SECONDS * HEARD_RATE:
            return


def _name_of(samples: array[int]) -> str:
    peak = max(max(samples), -min(samples)) / FULL_SCALE
    return next((name for least, name in LOUDNESS if peak >= least), "")


def billed_seconds(recording: Recording) -> int:
    """Return the seconds that Transcribe bills: begun seconds count whole."""
    return math.ceil(recording.seconds)
