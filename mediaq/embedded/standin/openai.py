"""OpenAI's embeddings, as a second provider."""

from __future__ import annotations

import asyncio
import base64
import struct
from decimal import Decimal
from typing import Any

from mediaq.embedded.standin import embeddings
from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.resources import text_digest

NAME = "CreateEmbedding"
# OpenAI's API reference, "Create embeddings": dimensions, tokens of one input, inputs of one request.
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
INPUT_TOKENS = 8192
MOST_INPUTS = 2048


def operation(body: dict[str, Any]) -> Operation:
    """Return the operation for the model that a request names.

    Raises:
        AwsError: There is no such model.
    """
    model = body.get("model")
    if model not in DIMENSIONS:
        raise AwsError(
            "model_not_found", f"The model `{model}` does not exist or you do not have access to it.", 404
        )
    return Operation(
        service="openai",
        name=NAME,
        item=f"openai.{model}.tokens",
        answer=create_embedding,
        resource=input_resource,
    )


async def create_embedding(invocation: Invocation) -> Answer:
    """Answer the creation of embeddings for one string or several."""
    body = invocation.body
    model, inputs = body["model"], _inputs(body)
    dimensions = body.get("dimensions", DIMENSIONS[model])
    if not isinstance(dimensions, int) or not 0 < dimensions <= DIMENSIONS[model]:
        raise _invalid(f"dimensions must be from 1 to {DIMENSIONS[model]} for {model}")
    counts = await asyncio.to_thread(lambda: [embeddings.count_tokens(text) for text in inputs])
    if max(counts) > INPUT_TOKENS:
        raise _invalid(
            f"This model's maximum context length is {INPUT_TOKENS} tokens, you requested {max(counts)}."
        )
    vectors = await asyncio.to_thread(_vectors, inputs, dimensions)
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": _packed(vector) if packed else vector}
        for i, vector in enumerate(vectors)
    ]
    tokens = sum(counts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    charge = Charge(f"openai.{model}.tokens", Decimal(tokens) / 1000, "1K tokens")
    return Answer({"object": "list", "data": data, "model": model, "usage": usage}, (charge,))


def input_resource(body: dict[str, Any]) -> str:
    """Return the digest of the strings sent."""
    given = body.get("input", "")
    return text_digest("\0".join(map(str, given)) if isinstance(given, list) else given)


def unauthorized() -> AwsError:
    """Return OpenAI's answer to a request without a key."""
    return AwsError("invalid_api_key", "You didn't provide an API key in an Authorization header.", 401)


def error_body(error: AwsError) -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    if error.status == 429:
        kind = "rate_limit_exceeded"
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}


def _inputs(body: dict[str, Any]) -> list[str]:
    given = body.get("input")
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not all(isinstance(text, str) and text for text in inputs):
        raise _invalid("'$.input' must be a string or a list of strings, none of them empty")
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise _invalid(f"'$.input' must have from 1 to {MOST_INPUTS} strings")
    return inputs


def _vectors(inputs: list[str], dimensions: int) -> list[list[float]]:
    return [embeddings.unit(embeddings.embed_text(text, dimensions)) for text in inputs]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _invalid(message: str) -> AwsError:
    return AwsError("invalid_request_error", message)
