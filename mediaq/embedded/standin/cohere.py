"""Bedrock's InvokeModel for Cohere's embedding models of version 3: texts, and vectors of floats."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

from mediaq.embedded.standin import embeddings
from mediaq.embedded.standin.bodies import (
    NAME,
    TOKENS_HEADER,
    check_keys,
    check_type,
    malformed,
    token_charge,
)
from mediaq.embedded.standin.errors import invalid_input
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.resources import text_digest

# Amazon Bedrock User Guide, "Cohere Embed v3"; that the rest of a longer text is left out or refused, too.
MOST_TEXTS = 96
CHARACTERS = 2_048
TOKENS = 512
DIMENSIONS = 1024
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
TRUNCATE = ("NONE", "START", "END")


async def embed(item: str, invocation: Invocation) -> Answer:
    """Answer Embed v3 for up to 96 texts; the answer has no count of tokens, its header has."""
    body = invocation.body
    texts = _texts(body)
    taken, tokens = await asyncio.to_thread(_truncated, texts, body.get("truncate", "NONE"))
    vectors = await asyncio.to_thread(_vectors, taken)
    answer = {
        "id": str(uuid4()),
        "texts": texts,
        "embeddings": vectors,
        "response_type": "embeddings_floats",
    }
    return Answer(answer, (token_charge(item, tokens),), {TOKENS_HEADER: str(tokens)})


def body_resource(body: dict[str, Any]) -> str:
    """Return the digest of the texts sent."""
    given = body.get("texts", "")
    return text_digest("\0".join(map(str, given)) if isinstance(given, list) else given)


def _texts(body: dict[str, Any]) -> list[str]:
    _check(body)
    texts: list[str] = body["texts"]
    if not texts:
        raise malformed("#/texts: expected minimum item count: 1, found: 0")
    if len(texts) > MOST_TEXTS:
        raise malformed(f"#/texts: expected maximum item count: {MOST_TEXTS}, found: {len(texts)}")
    for place, text in enumerate(texts):
        check_type(f"#/texts/{place}", text, str)
        if len(text) > CHARACTERS:
            raise malformed(f"#/texts/{place}: expected maxLength: {CHARACTERS}, actual: {len(text)}")
    return texts


def _check(body: dict[str, Any]) -> None:
    check_keys(body, {"texts": list, "input_type": str, "truncate": str})
    for key in ("texts", "input_type"):
        if key not in body:
            raise malformed(f"#: required key [{key}] not found")
    for key, values in (("input_type", INPUT_TYPES), ("truncate", TRUNCATE)):
        if body.get(key, values[0]) not in values:
            raise malformed(f"#/{key}: {body[key]} is not a valid enum value")


def _truncated(texts: list[str], truncate: str) -> tuple[list[str], int]:
    """Leave out what is too much for the model; return what it takes, and its tokens."""
    counts = [embeddings.count_tokens(text) for text in texts]
    if truncate == "NONE" and max(counts) > TOKENS:
        raise invalid_input(
            f"400 Bad Request: Too many input tokens. Max input tokens: {TOKENS}, "
            f"request input token count: {max(counts)} "
        )
    taken = [embeddings.cut(text, TOKENS, from_start=truncate == "START") for text in texts]
    return taken, sum(min(count, TOKENS) for count in counts)


def _vectors(texts: list[str]) -> list[list[float]]:
    return [embeddings.unit(embeddings.embed_text(text, DIMENSIONS)) for text in texts]


def _operation(language: str) -> Operation:
    item = f"bedrock.cohere-embed-{language}-v3.tokens"
    return Operation(
        service="bedrock", name=NAME, item=item, answer=partial(embed, item), resource=body_resource
    )


MODELS = {f"cohere.embed-{language}-v3": _operation(language) for language in ("english", "multilingual")}
