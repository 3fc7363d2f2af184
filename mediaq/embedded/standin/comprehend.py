"""Comprehend: sentiment, entities, key phrases and language of a text."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.resources import text_digest
from mediaq.embedded.standin.texts import RULE_SCORE, Span, entities, is_traditional, key_phrases
from mediaq.embedded.standin.validation import Member

# Amazon Comprehend Developer Guide, "Guidelines and quotas": 5 KB for sentiment, 100 KB for the others; the
# service counts in thousands, of UTF-8.
SENTIMENT_BYTES = 5_000
TEXT_BYTES = 100_000
# The service model's LanguageCode, in the order in which the service names it. What is not in it breaks a
# constraint; UnsupportedLanguageException is for operations that support less than all of it, none of these.
LANGUAGES = ("hi", "de", "zh-TW", "ko", "pt", "en", "it", "fr", "zh", "es", "ar", "ja")

# Amazon Comprehend pricing: units of 100 characters, at least three units a request.
UNIT_CHARACTERS = 100
LEAST_UNITS = 3

TEXT = Member("Text", required=True, low=1, secret=True)
TEXT_IN_LANGUAGE = (TEXT, Member("LanguageCode", required=True, choices=LANGUAGES, secret=True))


async def detect_sentiment(invocation: Invocation) -> Answer:
    """Answer DetectSentiment."""
    text = _text(invocation.body, SENTIMENT_BYTES)
    mood = await asyncio.to_thread(invocation.standin.reader.sentiment, text)
    scores = {
        "Positive": mood.positive,
        "Negative": mood.negative,
        "Neutral": mood.neutral,
        "Mixed": mood.mixed,
    }
    return _answer(text, "sentiment", {"Sentiment": mood.name, "SentimentScore": scores})


async def detect_entities(invocation: Invocation) -> Answer:
    """Answer DetectEntities."""
    text = _text(invocation.body, TEXT_BYTES)
    found = await asyncio.to_thread(entities, text)
    return _answer(text, "entities", {"Entities": [{"Type": span.kind, **_span(span)} for span in found]})


async def detect_key_phrases(invocation: Invocation) -> Answer:
    """Answer DetectKeyPhrases."""
    text = _text(invocation.body, TEXT_BYTES)
    found = await asyncio.to_thread(key_phrases, text)
    return _answer(text, "key-phrases", {"KeyPhrases": [_span(span) for span in found]})


async def detect_dominant_language(invocation: Invocation) -> Answer:
    """Answer DetectDominantLanguage; like the service it guesses below the 20 characters it advises."""
    text = _text(invocation.body, TEXT_BYTES)
    ranked = await asyncio.to_thread(invocation.standin.reader.languages, text)
    languages = [{"LanguageCode": _code(code, text), "Score": score} for code, score in ranked]
    return _answer(text, "dominant-language", {"Languages": languages})


def text_resource(body: dict[str, Any]) -> str:
    """Return the digest of the text sent."""
    return text_digest(body.get("Text", ""))


def units(text: str) -> int:
    """Return how many units of 100 characters a request with this text is billed."""
    return max(LEAST_UNITS, -(-len(text) // UNIT_CHARACTERS))


def _text(body: dict[str, Any], limit: int) -> str:
    text: str = body["Text"]
    size = len(text.encode())
    if size > limit:
        raise AwsError(
            "TextSizeLimitExceededException",
            f"Input text size exceeds limit. Max length of request text allowed is {limit} bytes "
            f"while in this request the text size is {size} bytes",
        )
    return text


def _code(language: str, text: str) -> str:
    return "zh-TW" if language == "zh" and is_traditional(text) else language


def _answer(text: str, operation: str, body: dict[str, Any]) -> Answer:
    charge = Charge(f"comprehend.detect-{operation}", Decimal(units(text)), "100 characters")
    return Answer(body, (charge,))


def _span(span: Span) -> dict[str, Any]:
    return {"Score": RULE_SCORE, "Text": span.text, "BeginOffset": span.begin, "EndOffset": span.end}


OPERATIONS = tuple(
    Operation(
        service="comprehend", name=name, item=item, answer=answer, resource=text_resource, members=members
    )
    for name, item, answer, members in (
        ("DetectSentiment", "comprehend.detect-sentiment", detect_sentiment, TEXT_IN_LANGUAGE),
        ("DetectEntities", "comprehend.detect-entities", detect_entities, TEXT_IN_LANGUAGE),
        ("DetectKeyPhrases", "comprehend.detect-key-phrases", detect_key_phrases, TEXT_IN_LANGUAGE),
        ("DetectDominantLanguage", "comprehend.detect-dominant-language", detect_dominant_language, (TEXT,)),
    )
)
