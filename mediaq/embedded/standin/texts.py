"""Reads text by rules: its language, its mood, its entities and key phrases."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import frozen
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

if TYPE_CHECKING:
    from collections.abc import Iterator

# Amazon Comprehend Developer Guide, "Dominant language": the codes that it answers.
LANGUAGES_TEXT = """
af am ar as az ba be bn bs bg ca ceb cs cv cy da de el en eo et eu fa fi fr gd ga gl gu ht he ha hi hr
hu hy ilo id is it jv ja kn ka kk km ky ko ku lo la lv lt lb ml mt mr mk mg mn ms my ne new nl no or om
pa pl pt ps qu ro ru sa si sk sl sd so es sq sr su sw sv ta tt te tg tl th tk tr ug uk ur uz vi yi yo zh
"""
LANGUAGES = tuple(LANGUAGES_TEXT.split())
LEAST_LANGUAGE_SCORE = 0.05
# A few words fit many languages: how much likelier these are than others before anything is read.
PRIOR = {
    "en": 60,
    "es": 20,
    "fr": 20,
    "de": 20,
    "it": 20,
    "pt": 20,
    "ar": 20,
    "hi": 20,
    "ja": 20,
    "ko": 20,
    "zh": 20,
}

# VADER's own threshold between neutral and not.
NEUTRAL_BELOW = 0.05
# Both moods must be this strong, as shares of the text, for it to be mixed.
MIXED_FROM = 0.15

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
UNITS = (
    "percent|kilometres|kilometers|miles|metres|meters|kg|km|cm|mm|"
    "hours|minutes|seconds|days|weeks|years|people"
)
# Repetitions are bounded everywhere, so that no text takes quadratic time.
NAME = r"[A-ZÀ-ÖØ-Þ][^\W\d_]{1,40}"
PLACES = (
    "Africa|Amsterdam|Asia|Australia|Barcelona|Berlin|Brazil|Canada|Chicago|China|Dublin|Europe|France|Germany|"
    "India|Ireland|Italy|Japan|London|Madrid|Mexico|Moscow|Munich|New York|Paris|Rome|San Francisco|Seattle|"
    "Spain|Sydney|Tokyo|Toronto|UK|USA|United Kingdom|United States|Vienna|Washington|Zurich"
)
# In this order: where two rules find the same words, the earlier one is right.
ENTITY_RULES = (
    ("DATE", rf"\b\d{{4}}-\d\d-\d\d\b|\b(?:{MONTHS}) \d{{1,2}}(?:, \d{{4}})?\b"),
    ("DATE", rf"\b\d{{1,2}} (?:{MONTHS})(?: \d{{4}})?\b"),
    ("DATE", rf"\b(?:(?:{MONTHS}) \d{{4}}|{DAYS}|today|tomorrow|yesterday)\b"),
    ("QUANTITY", rf"[$€£¥]\s?\d(?:[\d,.]{{0,20}}\d)?|\b\d[\d,.]{{0,20}}\s?(?:%|(?:{UNITS})\b)"),
    (
        "OTHER",
        r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}|https?://[^\s<>\"]{0,2000}[^\s<>\".,;:!?)]",
    ),
    ("LOCATION", rf"\b(?:{PLACES})\b"),
    (
        "ORGANIZATION",
        rf"\b{NAME}(?: (?:{NAME}|of|&)){{0,4}} (?:Inc|Ltd|LLC|GmbH|AG|Corp|Corporation|Company|Bank|Group)\b",
    ),
    ("ORGANIZATION", rf"\bUniversity of {NAME}|\b(?:Amazon|Google|Microsoft|Apple|NASA|BBC|IBM|Netflix)\b"),
    ("PERSON", rf"\b(?:Mr|Mrs|Ms|Dr|Prof)\.? {NAME}(?: {NAME})?|\b(?!(?:The|A|An|In|On|At) ){NAME} {NAME}\b"),
    ("QUANTITY", r"\b\d+(?:[,.]\d+)*\b"),
)
RULE_SCORE = 0.9

WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
STOP_WORDS_TEXT = """
a about after all also am an and any are as at be because been before but by can could did do does for
from had has have he her him his how i if in into is it its just me more most my no not of on only or
our out over she should so some such than that the their them then there these they this those to too
under up us very was we were what when where which while who why will with would you your
"""
STOP_WORDS = frozenset(STOP_WORDS_TEXT.split())
LONGEST_PHRASE = 5


@frozen
class Sentiment:
    """A mood and the share of the text that is in each; the four shares add up to 1."""

    name: str
    positive: float
    negative: float
    neutral: float
    mixed: float


@frozen
class Span:
    """A stretch of text, by offsets in Unicode code points."""

    begin: int
    end: int
    text: str
    kind: str = ""


class Reader:
    """Holds py3langid's model and VADER's lexicon, which take a while to load, from their first use on."""

    @cached_property
    def _identifier(self) -> LanguageIdentifier:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        identifier.set_languages(set(LANGUAGES) & set(identifier.labels))
        return identifier

    @cached_property
    def _moods(self) -> SentimentIntensityAnalyzer:
        return SentimentIntensityAnalyzer()

    def languages(self, text: str) -> list[tuple[str, float]]:
        """Return the likely languages and their probabilities, best first (py3langid, and a prior)."""
        weights = {code: score * PRIOR.get(code, 1) for code, score in self._identifier.rank(text)}
        total = sum(weights.values())
        ranked = sorted(
            ((code, weight / total) for code, weight in weights.items()), key=lambda pair: -pair[1]
        )
        return [pair for at, pair in enumerate(ranked) if at == 0 or pair[1] >= LEAST_LANGUAGE_SCORE]

    def sentiment(self, text: str) -> Sentiment:
        """Weigh the text's words (VADER, whose lexicon is English: other languages come out neutral)."""
        scores = self._moods.polarity_scores(text)
        positive, negative = scores["pos"], scores["neg"]
        mixed = min(positive, negative)
        total = positive + negative + scores["neu"] + mixed or 1.0
        neutral = 1.0 - (positive + negative + mixed) / total
        return Sentiment(
            _mood(scores["compound"], mixed), positive / total, negative / total, neutral, mixed / total
        )


def is_traditional(text: str) -> bool:
    """Tell whether a Chinese text is in traditional characters: whether Big5 has more of it than GB 2312."""
    return len(text.encode("big5", "ignore")) > len(text.encode("gb2312", "ignore"))


def entities(text: str) -> list[Span]:
    """Find dates, quantities, addresses, places, organisations and people, in the order of the text."""
    found: list[Span] = []
    taken = bytearray(len(text))
    for kind, pattern in ENTITY_RULES:
        for match in re.finditer(pattern, text):
            begin, end = match.span()
            if not any(taken[begin:end]):
                taken[begin:end] = b"\1" * (end - begin)
                found.append(Span(begin, end, match.group(), kind))
    return sorted(found, key=lambda span: span.begin)


def key_phrases(text: str) -> list[Span]:
    """Find the runs of words between stop words and punctuation; the stop words are English."""
    return [Span(begin, end, text[begin:end]) for begin, end in _runs(text)]


def _runs(text: str) -> Iterator[tuple[int, int]]:
    run: list[re.Match[str]] = []
    for word in WORD.finditer(text):
        joined = run and text[run[-1].end() : word.start()] == " " and len(run) < LONGEST_PHRASE
        if run and not (joined and word.group().lower() not in STOP_WORDS):
            yield run[0].start(), run[-1].end()
            run = []
        if word.group().lower() not in STOP_WORDS:
            run.append(word)
    if run:
        yield run[0].start(), run[-1].end()


def _mood(compound: float, mixed: float) -> str:
    if mixed >= MIXED_FROM:
        return "MIXED"
    if abs(compound) < NEUTRAL_BELOW:
        return "NEUTRAL"
    return "POSITIVE" if compound > 0 else "NEGATIVE"
