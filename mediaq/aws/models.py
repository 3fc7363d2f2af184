"""Bedrock's InvokeModel: JSON in, JSON out."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mediaq.aws.calls import FAILURES, call
from mediaq.aws.clients import Aws
from mediaq.aws.failures import classify


async def invoke_model(aws: Aws, model: str, body: dict[str, Any]) -> dict[str, Any]:
    """Asks a model.

    Args:
        aws: The clients.
        model: The model's id.
        body: What the model takes.

    Returns:
        What it answers.

    Raises:
        ProviderError: By its subclass, what follows.
    """
    answer = await call(
        aws,
        "bedrock-runtime",
        "invoke_model",
        modelId=model,
        body=msgspec.json.encode(body),
        contentType="application/json",
        accept="application/json",
    )
    try:
        async with asyncio.timeout(aws.settings.call_timeout), answer["body"] as stream:
            found: dict[str, Any] = msgspec.json.decode(await stream.read())
    except FAILURES as error:
        raise classify(error, "bedrock-runtime") from error
    return found
