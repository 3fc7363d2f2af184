"""One call to AWS: bounded in time, its failure classified."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from mediaq.aws.clients import Aws
from mediaq.aws.failures import classify
from mediaq.aws.limits import limit_of

FAILURES = (BotoCoreError, ClientError, aiohttp.ClientError, OSError, TimeoutError)

T = TypeVar("T")
Read = Callable[[dict[str, Any]], Awaitable[T]]


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
    return await call_and_read(aws, service, method, _as_it_is, **params)


async def call_and_read(aws: Aws, service: str, method: str, read: Read[T], **params: Any) -> T:
    """Makes one call whose answer has a body to be read; the time for a call is for both.

    Args:
        aws: The clients.
        service: boto's name of the service.
        method: The client's method.
        read: Reads the body of boto's answer.
        params: As the AWS API reference names them.

    Raises:
        ProviderError: By its subclass, what follows: TryAgain, Unanswered, NoRoom or Refused.
    """
    limit = limit_of(service, method, params.get("modelId", ""))
    with aws.watch(limit):
        try:
            async with asyncio.timeout(aws.settings.call_timeout):
                client = await aws.client(service)
                return await read(await getattr(client, method)(**params))
        except FAILURES as error:
            raise classify(error, service, limit) from error


async def _as_it_is(answer: dict[str, Any]) -> dict[str, Any]:
    return answer


def request_id(answer: dict[str, Any]) -> str | None:
    """Returns the id under which AWS knows an answer, CloudTrail too."""
    found: str | None = answer.get("ResponseMetadata", {}).get("RequestId")
    return found
