"""One call to AWS: bounded in time, its failure classified."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from mediaq.aws.clients import Aws
from mediaq.aws.failures import classify

FAILURES = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)


async def call(aws: Aws, service: str, method: str, **params: Any) -> dict[str, Any]:
    """Makes one call.

    Args:
        aws: The clients.
        service: boto's name of the service, `rekognition` say.
        method: The client's method, `detect_labels` say.
        params: As the AWS API reference names them.

    Returns:
        The answer, as boto returns it.

    Raises:
        ProviderError: By its subclass, what follows: TryAgain, Unanswered, NoRoom or Refused.
    """
    try:
        client = await aws.client(service)
        async with asyncio.timeout(aws.settings.call_timeout):
            answer: dict[str, Any] = await getattr(client, method)(**params)
    except FAILURES as error:
        raise classify(error, service) from error
    return answer
