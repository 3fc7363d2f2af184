"""Bedrock's InvokeModel: JSON in, JSON out."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from mediaq.aws.calls import call_and_read, request_id
from mediaq.aws.clients import Aws

# Bedrock says with every answer how many tokens it counted; the answers of some models do not.
TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


@frozen
class Invoked:
    """What a model answered.

    Args:
        body: The answer.
        tokens: What was counted of the input; None where Bedrock did not say.
        request_id: AWS's id of the answer.
    """

    body: dict[str, Any]
    tokens: int | None
    request_id: str | None


async def invoke_model(aws: Aws, model: str, body: dict[str, Any]) -> Invoked:
    """Asks a model.

    Args:
        aws: The clients.
        model: The model's id.
        body: What the model takes.

    Raises:
        ProviderError: By its subclass, what follows.
    """
    return await call_and_read(
        aws,
        "bedrock-runtime",
        "invoke_model",
        _read,
        modelId=model,
        body=msgspec.json.encode(body),
        contentType="application/json",
        accept="application/json",
    )


async def _read(answer: dict[str, Any]) -> Invoked:
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    tokens = headers.get(TOKENS_HEADER)
    async with answer["body"] as stream:
        body = msgspec.json.decode(await stream.read())
    return Invoked(body, None if tokens is None else int(tokens), request_id(answer))
