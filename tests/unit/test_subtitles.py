"""Subtitles from a transcript's words."""

from typing import Any

import pytest

from mediaq.pipelines.subtitles import LINE, LINES, LONGEST, Cue, as_srt, as_vtt, cues


def spoken(*words: str, each: float = 0.5, start: float = 0.0) -> list[dict[str, Any]]:
    """Items as Transcribe writes them; a word that is only marks is punctuation."""
    items: list[dict[str, Any]] = []
    for word in words:
        alternatives = [{"confidence": "0.99", "content": word}]
        if not any(letter.isalnum() for letter in word):
            items.append({"type": "punctuation", "alternatives": alternatives})
            continue
        times = {"start_time": f"{start:.3f}", "end_time": f"{start + each:.3f}"}
        items.append({"type": "pronunciation", "alternatives": alternatives, **times})
        start += each
    return items


def test_words_stand_in_one_cue_with_their_marks_until_the_sentence_ends() -> None:
    assert cues(spoken("Good", "morning", ",", "all", ".", "Sit", "down", "!")) == [
        Cue(0.0, 1.5, "Good morning, all."),
        Cue(1.5, 2.5, "Sit down!"),
    ]


def test_a_long_sentence_is_parted_by_length_and_by_time() -> None:
    found = cues(spoken(*["wonderful"] * 40, each=0.2))
    assert len(found) > 4
    assert all(len(cue.text) <= LINE * LINES for cue in found)
    assert " ".join(cue.text for cue in found) == " ".join(["wonderful"] * 40)
    slow = cues(spoken(*["so"] * 20, each=1.0))
    assert [cue.end - cue.start for cue in slow] == [LONGEST, LONGEST, 6.0]


def test_a_silence_begins_a_new_cue() -> None:
    items = [*spoken("one"), *spoken("two", start=3.0)]
    assert cues(items) == [Cue(0.0, 0.5, "one"), Cue(3.0, 3.5, "two")]


def test_languages_without_spaces_get_none() -> None:
    assert [cue.text for cue in cues(spoken("你", "好", "\u3002", "世", "界"))] == ["你好\u3002", "世界"]


def test_nothing_said_gives_no_cues_and_a_mark_alone_is_nothing() -> None:
    assert cues([]) == cues(spoken(".")) == []
    assert as_srt([]) == ""
    assert as_vtt([]) == "WEBVTT\n\n"


CUES = [
    Cue(0.0, 1.5, "Good <b>morning</b> & welcome."),
    Cue(3661.0004, 3662.9996, "x" * 30 + " " + "y" * 30),
]


def test_srt() -> None:
    assert as_srt(CUES) == (
        "1\n00:00:00,000 --> 00:00:01,500\nGood <b>morning</b> & welcome.\n\n"
        f"2\n01:01:01,000 --> 01:01:03,000\n{'x' * 30}\n{'y' * 30}\n\n"
    )


def test_vtt() -> None:
    assert as_vtt(CUES) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.500\nGood &lt;b&gt;morning&lt;/b&gt; &amp; welcome.\n\n"
        f"01:01:01.000 --> 01:01:03.000\n{'x' * 30}\n{'y' * 30}\n\n"
    )


@pytest.mark.parametrize("text", ["z" * 100, "short"])
def test_what_cannot_be_broken_stays_one_line(text: str) -> None:
    assert as_srt([Cue(0, 1, text)]).split("\n")[2] == text
