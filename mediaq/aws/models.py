"""Bedrock's InvokeModel: JSON in, JSON out."""

from __future__ import annotations

from typing import Any

import msgspec

from mediaq.aws.calls import call_and_read, request_id
from mediaq.aws.clients import Aws


async def invoke_model(aws: Aws, model: str, body: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Asks a model.

    Args:
        aws: The clients.
        model: The model's id.
        body: What the model takes.

    Returns:
        What it answers, and AWS's id of the answer.

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


async def _read(answer: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    async with answer["body"] as stream:
        return msgspec.json.decode(await stream.read()), request_id(answer)
