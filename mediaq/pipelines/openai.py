"""OpenAI's embeddings API, the second provider of text embeddings."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from mediaq.aws.limits import OPENAI_EMBEDDINGS
from mediaq.errors import ProviderError, Refused, Throttled, TryAgain, Unanswered, Unreachable
from mediaq.settings import Embedding


async def embed(
    http: httpx.AsyncClient, settings: Embedding, model: str, dimensions: int, text: str, timeout: float
) -> tuple[list[float], int, str | None]:
    """Embeds a text.

    Args:
        http: The client.
        settings: URL and key.
        model: The model.
        dimensions: Length of the vector.
        text: What to embed.
        timeout: Seconds to wait for the answer.

    Returns:
        The vector, the tokens that were billed, and OpenAI's id of the answer.

    Raises:
        ProviderError: By its subclass, what follows.
    """
    if not (settings.openai_url and settings.openai_key):
        raise Refused("set embedding.openai_url and embedding.openai_key to embed by OpenAI", "NotConfigured")
    body = {"model": model, "input": text, "dimensions": dimensions}
    headers = {"Authorization": f"Bearer {settings.openai_key}"}
    url = f"{settings.openai_url.rstrip('/')}/embeddings"
    try:
        # httpx's own timeouts are for each step of a call.
        async with asyncio.timeout(timeout):
            answer = await http.post(url, json=body, headers=headers, timeout=None)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable("OpenAI cannot be reached", type(error).__name__) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unanswered("OpenAI gave no answer", type(error).__name__) from error
    if answer.is_error:
        raise _failure(answer)
    found = answer.json()
    return (
        found["data"][0]["embedding"],
        found["usage"]["prompt_tokens"],
        answer.headers.get("x-request-id"),
    )


def _failure(answer: httpx.Response) -> ProviderError:
    reason, code = _explain(answer)
    # OpenAI: 429 insufficient_quota means that the account is out of money, not that it is too fast.
    if answer.status_code in (408, 502, 504):
        return Unanswered(f"OpenAI gave up waiting: {reason} ({answer.status_code})", code)
    if answer.status_code == 429 and code != "insufficient_quota":
        return Throttled(f"OpenAI has been called too often for now: {reason} (429)", code, OPENAI_EMBEDDINGS)
    if answer.status_code >= 500:
        return TryAgain(f"OpenAI is busy or failing: {reason} ({answer.status_code})", code)
    return Refused(f"OpenAI refused: {reason} ({answer.status_code})", code)


def _explain(answer: httpx.Response) -> tuple[str, str]:
    try:
        error: Any = answer.json()["error"]
        return error["message"], error.get("code") or error.get("type") or str(answer.status_code)
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase, str(answer.status_code)
