"""Texts: language, sentiment, entities and key phrases by Comprehend; the language first where unknown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mediaq.errors import Refused
from mediaq.pipelines.metered import once
from mediaq.pipelines.operation import Answer, Call, Operation, Pipeline, Request, Work, nothing
from mediaq.pipelines.requests import Name, ObjectKey, Text, request_type

LANGUAGE = "detectLanguage"


def _characters(request: Request) -> int:
    return len(request["text"])


async def _text(work: Work) -> dict[str, Any]:
    return {"Text": work.job.request["text"]}


async def _text_and_language(work: Work) -> dict[str, Any]:
    return {**await _text(work), "LanguageCode": work.job.request.get("languageCode") or _likeliest(work)}


def _likeliest(work: Work) -> str:
    if not work.results[LANGUAGE]:
        raise Refused("no language was found in the text: send languageCode", "NoLanguage")
    found = max(work.results[LANGUAGE], key=lambda language: language["Score"])
    return str(found["LanguageCode"])


def _language_unless_given(request: Request) -> tuple[str, ...]:
    return () if request.get("languageCode") else (LANGUAGE,)


def _reading(
    name: str,
    result: str,
    method: str,
    read: Callable[[Answer], Any],
    params: Callable[[Work], Awaitable[dict[str, Any]]] = _text_and_language,
    needs: Callable[[Request], tuple[str, ...]] = _language_unless_given,
) -> Operation:
    item = "comprehend." + method.replace("_", "-")
    return Operation(name, result, once(Call("comprehend", method, item, params, _characters, read)), needs)


def _sentiment(answer: Answer) -> Any:
    return {"Sentiment": answer["Sentiment"], "SentimentScore": answer["SentimentScore"]}


OPERATIONS = (
    _reading(
        LANGUAGE, "language", "detect_dominant_language", lambda answer: answer["Languages"], _text, nothing
    ),
    _reading("detectSentiment", "sentiment", "detect_sentiment", _sentiment),
    _reading("detectEntities", "entities", "detect_entities", lambda answer: answer["Entities"]),
    _reading("detectKeyPhrases", "keyPhrases", "detect_key_phrases", lambda answer: answer["KeyPhrases"]),
)

TEXT = Pipeline(
    queue="text-analysis",
    task="mediaq.tasks.analyze_text",
    description="analyze-text",
    request=request_type(
        "TextRequest",
        OPERATIONS,
        ("text", Text),
        ("languageCode", Name | None, None),
        ("s3Key", ObjectKey | None, None),
    ),
    operations=OPERATIONS,
)
