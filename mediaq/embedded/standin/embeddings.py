"""Vectors by hashing: words and pixels each push a few dimensions up or down, so like contents lie near."""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediaq.embedded.standin.images import Picture

TRIGRAM_WEIGHT = 0.3
GRID = 12
# A rule of thumb for the tokenizers of both providers; the exact ones are not public.
CHARACTERS_PER_TOKEN = 5
PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+|[^\w\s]|_")


def count_tokens(text: str) -> int:
    """Estimate tokens: five characters of a word, a mark, or an East Asian character make one each."""
    return sum(math.ceil(len(piece) / CHARACTERS_PER_TOKEN) for piece in PIECE.findall(text))


def cut(text: str, tokens: int, *, from_start: bool = False) -> str:
    """Return as much of a text as has so many tokens: its beginning, or its end where the start is cut."""
    ends = [
        min(start + CHARACTERS_PER_TOKEN, piece.end())
        for piece in PIECE.finditer(text)
        for start in range(piece.start(), piece.end(), CHARACTERS_PER_TOKEN)
    ]
    if len(ends) <= tokens:
        return text
    return text[ends[-tokens - 1] :] if from_start else text[: ends[tokens - 1]]


def embed_text(text: str, dimensions: int) -> list[float]:
    """Return the vector of a text's words and their trigrams; not of unit length."""
    return _hashed(_text_features(text), dimensions)


def embed_picture(picture: Picture, dimensions: int) -> list[float]:
    """Return the vector of a picture's colours on a grid of 12 by 12; not of unit length."""
    return _hashed(_picture_features(picture), dimensions)


def mean(vectors: list[list[float]]) -> list[float]:
    """Return the mean of the vectors, each of which counts the same whatever its length."""
    return [sum(values) / len(vectors) for values in zip(*map(unit, vectors), strict=True)]


def unit(vector: list[float]) -> list[float]:
    """Scale a vector to length 1."""
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [round(value / length, 9) for value in vector]


def _text_features(text: str) -> Iterator[tuple[str, float]]:
    words = re.findall(r"[^\W_]+", text.lower())
    for word in words:
        yield word, 1.0
        for start in range(len(word) - 2):
            yield f"3:{word[start : start + 3]}", TRIGRAM_WEIGHT
    # Text of marks only has a vector too.
    if not words:
        yield text, 1.0


def _picture_features(picture: Picture) -> Iterator[tuple[str, float]]:
    pixels = picture.small.resize((GRID, GRID)).tobytes()
    for place, value in enumerate(pixels):
        yield f"pixel {place}", (value - 127.5) / 127.5


def _hashed(features: Iterable[tuple[str, float]], dimensions: int) -> list[float]:
    vector = [0.0] * dimensions
    for feature, weight in features:
        digest = zlib.crc32(feature.encode())
        vector[(digest >> 1) % dimensions] += weight if digest & 1 else -weight
    return vector
