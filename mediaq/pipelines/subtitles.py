"""Subtitles from a transcript's words: cues that one can read, as SubRip or WebVTT.

Transcribe can write them too. They are made here because the transcript, which is read anyway, has all that
is needed: what Transcribe is asked stays the same, nothing more has to be waited for, and cues end where
sentences do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

# Common practice of broadcasters: two lines of 42 characters, at most 7 seconds.
LINE = 42
LINES = 2
LONGEST = 7.0
# Seconds of silence after which a new cue begins.
PAUSE = 1.5
# With those of Chinese and Japanese, Arabic, and Hindi.
SENTENCE_ENDS = (".", "!", "?", "\u3002", "\uff1f", "\uff01", "\u061f", "\u0964")
# Languages that put no space between words.
SPACELESS = ("\u0e00", "\u0eff"), ("\u3040", "\u30ff"), ("\u3400", "\u9fff")

MEDIA_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}


@frozen
class Cue:
    """What is shown at once.

    Args:
        start: Seconds from the film's start.
        end: Likewise.
        text: What is said.
    """

    start: float
    end: float
    text: str


def cues(items: Iterable[Mapping[str, Any]]) -> list[Cue]:
    """Joins a transcript's words and marks to cues.

    Args:
        items: `results.items` of a transcript.
    """
    return list(_joined(_words(items)))


def as_srt(cues: Iterable[Cue]) -> str:
    """Writes cues as SubRip."""
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_lines(cue.text)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def as_vtt(cues: Iterable[Cue]) -> str:
    """Writes cues as WebVTT, in which `&`, `<` and `>` are not written plainly."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_escaped(_lines(cue.text))}\n\n" for cue in cues
    )


WRITERS: Mapping[str, Callable[[Iterable[Cue]], str]] = {"srt": as_srt, "vtt": as_vtt}


def _words(items: Iterable[Mapping[str, Any]]) -> Iterator[Cue]:
    """Each word with the marks that follow it."""
    word: Cue | None = None
    for item in items:
        content = item["alternatives"][0]["content"]
        if item["type"] == "punctuation":
            word = None if word is None else Cue(word.start, word.end, word.text + content)
            continue
        if word:
            yield word
        word = Cue(float(item["start_time"]), float(item["end_time"]), content)
    if word:
        yield word


def _joined(words: Iterable[Cue]) -> Iterator[Cue]:
    cue: Cue | None = None
    for word in words:
        if cue is None:
            cue = word
        elif _goes_on(cue, word):
            cue = Cue(cue.start, word.end, _beside(cue.text, word.text))
        else:
            yield cue
            cue = word
    if cue:
        yield cue


def _goes_on(cue: Cue, word: Cue) -> bool:
    return (
        not cue.text.endswith(SENTENCE_ENDS)
        and word.start - cue.end < PAUSE
        and word.end - cue.start <= LONGEST
        and len(_beside(cue.text, word.text)) <= LINES * LINE
    )


def _beside(text: str, word: str) -> str:
    spaceless = _is_spaceless(text[-1:]) and _is_spaceless(word[:1])
    return f"{text}{word}" if spaceless else f"{text} {word}"


def _is_spaceless(letter: str) -> bool:
    return any(first <= letter <= last for first, last in SPACELESS)


def _lines(text: str) -> str:
    """Breaks a text that is too long for one line at the space nearest to its middle."""
    if len(text) <= LINE:
        return text
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    if not spaces:
        return text
    at = min(spaces, key=lambda space: abs(space - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def _time(seconds: float, mark: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{milliseconds:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
