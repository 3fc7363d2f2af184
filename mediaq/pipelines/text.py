"""Texts of any length: language, sentiment, entities and key phrases by Comprehend, passage by passage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from mediaq.aws.calls import call, request_id
from mediaq.aws.limits import limit_of
from mediaq.aws.texts import read_text
from mediaq.errors import Refused
from mediaq.model import Charge, Settled
from mediaq.pipelines import languages, merged
from mediaq.pipelines.budget import keep_to_budget
from mediaq.pipelines.comprehend import LANGUAGES, LEAST_CHARACTERS, READINGS, Reading
from mediaq.pipelines.operation import Operation, Pipeline, Request, Work, nothing
from mediaq.pipelines.parts import Part, paid_in_parts, part_key
from mediaq.pipelines.passages import Passage, billed_at_most, sample, split
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.price_list import prices_now
from mediaq.pipelines.requests import Name, ObjectKey, Text, request_type
from mediaq.settings import Settings

LANGUAGE = "detectLanguage"
LANGUAGE_CODE = Meta(
    description="The language, as of RFC 5646; one that the operations support.",
    examples=[*LANGUAGES, "pt-BR"],
)

Merge = Callable[[merged.Parts], Any]
# A passage and its key as a part of an operation.
Cut = tuple[Passage, str]


async def find_text(work: Work) -> str:
    """Returns the job's text: the one that was sent, or the object in S3, read once for all operations.

    Raises:
        Refused: There is no such object, or it is no text, or too large (see `read_text`), or a budget has no
            room for it.
        ProviderError: S3 cannot be asked for now.
    """
    sent: str | None = work.job.request.get("text")
    if sent is not None:
        return sent
    text = await work.share("text", lambda: _read_object(work))
    await keep_to_budget(work, await work.share("estimate", lambda: _estimate_found(work, text)))
    return text


async def _read_object(work: Work) -> str:
    key, most = work.job.request["s3Key"], work.tools.settings.text.most_bytes
    return await patiently(work, lambda: read_text(work.tools.aws, work.bucket, key, most=most))


async def _estimate_found(work: Work, text: str) -> Decimal:
    return await asyncio.to_thread(TEXT.estimate, {**work.job.request, "text": text}, work.tools.settings)


async def detect_language(work: Work) -> Any:
    """Finds the languages of the text; of a sample, at the least charge, where only others need to know."""
    reading = READINGS[LANGUAGE]
    text = await find_text(work)
    if work.job.request["operations"].get(LANGUAGE):
        cuts = await _passages(work, text, reading.most)
    else:
        text = sample(text)
        cuts = _cut(text, reading.most)
    return await _ask(work, reading, text, cuts, {}, merged.languages)


async def _perform_in_language(merge: Merge, work: Work) -> Any:
    # First of all, so that a language that is not supported costs nothing further.
    language = {"LanguageCode": _language(work)}
    reading = READINGS[work.operation]
    text = await find_text(work)
    cuts = await _passages(work, text, reading.most)
    return await _ask(work, reading, text, cuts, language, merge)


def _language(work: Work) -> str:
    if given := work.job.request.get("languageCode"):
        return languages.given(given, work.operation)
    return languages.found(work.results[LANGUAGE], work.operation)


async def _ask(
    work: Work, reading: Reading, text: str, cuts: Sequence[Cut], language: dict[str, str], merge: Merge
) -> Any:
    def join(answers: Sequence[Any]) -> Settled:
        return Settled(merge([(passage, answer) for (passage, _), answer in zip(cuts, answers, strict=True)]))

    parts = [_part(work, reading, text, cut, language) for cut in cuts]
    limit = limit_of("comprehend", reading.method)
    return await paid_in_parts(work, "comprehend", limit, parts, join, noun="passage", question=language)


def _part(work: Work, reading: Reading, text: str, cut: Cut, language: dict[str, str]) -> Part:
    passage, key = cut
    charge = prices_now().charge(reading.item, passage.length)

    async def make() -> Settled:
        answer = await call(work.tools.aws, "comprehend", reading.method, Text=passage.of(text), **language)
        kept = {name: answer[name] for name in reading.answers}
        return Settled(kept, charge, request_id=request_id(answer))

    return Part(key, charge, make)


def _estimate(name: str, request: Request, settings: Settings) -> list[Charge]:
    reading, text, prices = READINGS[name], request.get("text"), prices_now()
    if name == LANGUAGE and not request["operations"].get(LANGUAGE):
        return [prices.charge(reading.item, LEAST_CHARACTERS)]
    if text is None:
        return [prices.charge(reading.item, billed_at_most(settings.text.most_bytes, reading.most))]
    return [prices.charge(reading.item, passage.length) for passage in split(text, reading.most)]


async def _passages(work: Work, text: str, most: int) -> list[Cut]:
    """Cuts the text, once for all operations that take passages of this size; a long one beside the loop."""
    if len(text) <= most:
        return _cut(text, most)
    return await work.share(f"passages of {most} bytes", lambda: asyncio.to_thread(_cut, text, most))


def _cut(text: str, most: int) -> list[Cut]:
    passages = split(text, most)
    return [(passage, part_key(number, passage.of(text).encode())) for number, passage in enumerate(passages)]


def _check(request: Any) -> None:
    if request.text is None and request.s3Key is None:
        raise ValueError("Object missing required field `text` (or `s3Key`)")
    if request.text is not None and request.s3Key is not None:
        raise ValueError("Expected only one of `text` and the field `s3Key`")
    if request.text is not None and request.text.isspace():
        raise ValueError("Expected more than white space in the field `text`")
    if request.languageCode is not None:
        _check_language(request)


# What `_check` demands. White space as `str.isspace` has it, beside that of ECMAScript.
RULES = {
    "oneOf": [
        {
            "properties": {
                "text": {"type": "string", "pattern": r"[^\s\x1c-\x1f\x85]"},
                "s3Key": {"type": "null"},
            },
            "required": ["text"],
        },
        {
            "properties": {"s3Key": {"type": "string"}, "text": {"type": "null"}},
            "required": ["s3Key"],
        },
    ]
}


def _check_language(request: Any) -> None:
    asked = (name for name in READINGS if getattr(request.operations, name) and READINGS[name].languages)
    try:
        for name in asked:
            languages.given(request.languageCode, name)
    except Refused as refusal:
        raise ValueError(f"Invalid field `languageCode`: {refusal}") from refusal


def _language_unless_given(request: Request) -> tuple[str, ...]:
    return () if request.get("languageCode") else (LANGUAGE,)


def _in_language(name: str, result: str, merge: Merge) -> Operation:
    perform, estimate = partial(_perform_in_language, merge), partial(_estimate, name)
    return Operation(name, result, perform, estimate, _language_unless_given)


OPERATIONS = (
    Operation(LANGUAGE, "language", detect_language, partial(_estimate, LANGUAGE), nothing),
    _in_language("detectSentiment", "sentiment", merged.sentiment),
    _in_language("detectEntities", "entities", partial(merged.spans, key="Entities")),
    _in_language("detectKeyPhrases", "keyPhrases", partial(merged.spans, key="KeyPhrases")),
)

TEXT = Pipeline(
    queue="text-analysis",
    task="mediaq.tasks.analyze_text",
    description="analyze-text",
    request=request_type(
        "TextRequest",
        OPERATIONS,
        ("text", Text | None, None),
        ("s3Key", ObjectKey | None, None),
        ("languageCode", Annotated[Name, LANGUAGE_CODE] | None, None),
        check=_check,
        rules=RULES,
    ),
    operations=OPERATIONS,
    example={"mediaItemId": "note-1", "text": "We had a wonderful day in Paris.", "languageCode": "en"},
)
