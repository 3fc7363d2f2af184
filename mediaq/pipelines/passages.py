"""Long texts in passages that one request each may carry, cut where a reader would pause."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from attrs import frozen

from mediaq.pipelines.comprehend import LEAST_CHARACTERS, UNIT_CHARACTERS

# What ends a sentence where white space follows, as the full stop in 3.14 does not (Unicode's
# Sentence_Terminal, and the ellipsis): Latin; Armenian, Arabic, Devanagari, Tibetan, Burmese, Ethiopic,
# Khmer, Mongolian.
STOPS = (
    ".!?\u2026\u203c\u203d\u2047-\u2049"
    "\u0589\u061f\u06d4\u0964\u0965\u0f0d\u104a\u104b\u1362\u1367\u1368\u17d4\u17d5\u1803"
)
# Chinese and Japanese write no space after theirs.
WIDE_STOPS = "\u3002\uff01\uff1f\uff61"
CLOSING = "\"')\\]}\u00bb\u2019\u201d\u3009\u300b\u300d\u300f\u3011\uff09"

# The places for a cut, the best first. No pattern looks along a run of any length from each of its
# characters, so that no text takes quadratic time.
SENTENCE_END = re.compile(
    rf"(?:(?<=[{STOPS}])|(?<=[{STOPS}][{CLOSING}]))\s+"
    rf"|[{WIDE_STOPS}][{WIDE_STOPS}{CLOSING}]{{0,3}}\s*"
    r"|\n\s*\n\s*"
)
LINE_END = re.compile(r"[\n\r\u0085\u2028\u2029]\s*")
WHITE_SPACE = re.compile(r"\s+")
PAUSES = (SENTENCE_END, LINE_END, WHITE_SPACE)

# Unicode Standard Annex 29 keeps these with what stands before them, besides marks: joiners, the skin tones
# of emoji, tags, and the vowels and finals of Hangul in pieces.
EXTENDING = re.compile("[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff]")
MARKS = ("Mn", "Mc", "Me")
JOINER = "\u200d"
# The combining class of the signs that join two consonants of an Indic script.
VIRAMA = 9
FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
# Longer characters than this, in code points, are cut all the same; the longest emoji have ten.
LONGEST_CHARACTER = 64


@frozen
class Passage:
    """A passage of a text.

    Args:
        begin: Its first character in the text, counted in code points as Comprehend's offsets are.
        end: The first one after it.
    """

    begin: int
    end: int

    def of(self, text: str) -> str:
        """Returns the passage's own text."""
        return text[self.begin : self.end]

    @property
    def length(self) -> int:
        """How many characters it has, as they are billed."""
        return self.end - self.begin


def split(text: str, most: int) -> list[Passage]:
    """Cuts a text into passages of at most `most` bytes of UTF-8.

    They stand in the order of the text and together hold all of it, but for passages of white space alone,
    which are not worth a call. A text that fits is one passage. The same text and limit give the same ones.

    A cut costs money: each passage is billed by begun units of 100 characters, and by three at least. So
    passages are as long as fits; of the good places near the end, the cut is at the one that wastes least of
    a unit; and a rest shorter than three units is filled up from the passage before it. Passages of equal
    length would save nothing more.

    Args:
        text: Any text.
        most: Bytes; at least 4, which the longest character has.
    """
    if most < 4:
        raise ValueError(f"a passage of at most {most} bytes cannot hold every character: it takes 4")
    return [passage for passage in _cuts(text, most) if not passage.of(text).isspace()]


def billed_at_most(size: int, most: int) -> int:
    """Returns for how many characters any text is billed at most, passage by passage.

    A text has no more characters than bytes. Of what fits, a passage has a quarter at least, but for the last
    two, and a character has four bytes at most; each passage is billed to the end of its last unit.

    Args:
        size: Bytes of UTF-8 of the text at most.
        most: Bytes of a passage at most, as of `split`.
    """
    passages = size // (most // 16) + 2
    return size + passages * (UNIT_CHARACTERS - 1) + LEAST_CHARACTERS


def sample(text: str) -> str:
    """Takes what the least charge pays for, 300 characters: of the beginning, the middle and the end.

    That is enough to know a language by (AWS: at least 20 characters), and a title or a licence in another
    language is outvoted.
    """
    text = text.strip()
    if len(text) <= LEAST_CHARACTERS:
        return text
    size = LEAST_CHARACTERS // 3 - 1
    places = (0, (len(text) - size) // 2, len(text) - size)
    return "\n".join(text[place : place + size] for place in places)


def _cuts(text: str, most: int) -> Iterator[Passage]:
    begin = 0
    while begin < len(text):
        end = _end(text, begin, most)
        yield Passage(begin, end)
        begin = end


def _end(text: str, begin: int, most: int) -> int:
    last = begin + _fitting(text[begin : begin + most], most)
    if last == len(text):
        return last
    last = max(min(last, len(text) - LEAST_CHARACTERS), (begin + last + 1) // 2)
    if pause := _pause(text, begin, last):
        return pause
    units = (last - begin) // UNIT_CHARACTERS * UNIT_CHARACTERS
    return _between_characters(text, begin, begin + units if units else last)


def _pause(text: str, begin: int, last: int) -> int | None:
    """Finds a place of the best kind that the last half of what fits has: of the last ones, the cheapest."""
    size = last - begin
    for pause in PAUSES:
        ends = (found.end() for found in pause.finditer(text, last - size // 2, last))
        places = [end for end in ends if _apart(text, begin, end)]
        if places:
            late = [end for end in places if end >= places[-1] - size // 10]
            return min(late, key=lambda end: ((begin - end) % UNIT_CHARACTERS, -end))
    return None


def _fitting(piece: str, most: int) -> int:
    """Counts the code points that fit into `most` bytes of UTF-8."""
    if piece.isascii():
        return len(piece)
    encoded = piece.encode()
    return len(piece) if len(encoded) <= most else len(encoded[:most].decode(errors="ignore"))


def _between_characters(text: str, begin: int, last: int) -> int:
    for place in range(last, max(begin, last - LONGEST_CHARACTER), -1):
        if _apart(text, begin, place):
            return place
    return last


def _apart(text: str, begin: int, place: int) -> bool:
    """Says whether a character, as readers count them, ends before `place`; one begins at `begin`."""
    before, after = text[place - 1], text[place]
    if after.isascii():
        return (before, after) != ("\r", "\n")
    if before in FLAG_LETTERS and after in FLAG_LETTERS:
        passage = text[begin:place]
        return (len(passage) - len(passage.rstrip(FLAG_LETTERS))) % 2 == 0
    if before == JOINER or unicodedata.combining(before) == VIRAMA:
        return False
    return not EXTENDING.match(after) and unicodedata.category(after) not in MARKS
