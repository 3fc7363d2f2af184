"""The answers about a text's passages as one about the whole, in the shape of Comprehend's own.

Each function takes pairs of a passage and Comprehend's answer about it, in the order of the text, one at
least. An answer about a whole text comes out as it went in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from mediaq.pipelines.passages import Passage

Parts = Sequence[tuple[Passage, Mapping[str, Any]]]

# Of several that are equally likely the first is named.
SENTIMENTS = {"Positive": "POSITIVE", "Negative": "NEGATIVE", "Neutral": "NEUTRAL", "Mixed": "MIXED"}


def sentiment(parts: Parts) -> dict[str, Any]:
    """Weighs the scores by the lengths of the passages; the sentiment is the one that scores highest.

    MIXED is a sentiment like the others, as in Comprehend's answers: a text whose passages are positive here
    and negative there is mixed only if Comprehend says so of enough of them.
    """
    if len(parts) == 1:
        [(_, answer)] = parts
        return {"Sentiment": answer["Sentiment"], "SentimentScore": answer["SentimentScore"]}
    length = _length(parts)
    scores = {
        name: fsum(passage.length * answer["SentimentScore"][name] for passage, answer in parts) / length
        for name in SENTIMENTS
    }
    return {"Sentiment": SENTIMENTS[max(scores, key=scores.__getitem__)], "SentimentScore": scores}


def spans(parts: Parts, key: str) -> list[dict[str, Any]]:
    """Joins what was found in the passages, with offsets in the whole text.

    Args:
        parts: The passages and the answers about them.
        key: Where answers have what was found: `Entities` or `KeyPhrases`.
    """
    return [_moved(span, passage.begin) for passage, answer in parts for span in answer[key]]


def languages(parts: Parts) -> list[dict[str, Any]]:
    """Weighs each language's scores by the lengths of the passages; best first.

    This is what AWS advises for long texts in several languages (Developer Guide, "Dominant language"): a
    score is close to the language's share of the text. All add up to no more than those of some passage do.
    """
    if len(parts) == 1:
        [(_, answer)] = parts
        return list(answer["Languages"])
    found: dict[str, list[float]] = defaultdict(list)
    for passage, answer in parts:
        for language in answer["Languages"]:
            found[language["LanguageCode"]].append(passage.length * language["Score"])
    length = _length(parts)
    scores = {code: fsum(weighed) / length for code, weighed in found.items()}
    ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"LanguageCode": code, "Score": score} for code, score in ranked]


def _length(parts: Parts) -> int:
    return sum(passage.length for passage, _ in parts)


def _moved(span: Mapping[str, Any], by: int) -> dict[str, Any]:
    return {**span, "BeginOffset": span["BeginOffset"] + by, "EndOffset": span["EndOffset"] + by}
