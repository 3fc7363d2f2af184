"""Embeddings kept in Redis for a while, by model, length and SHA-256 of the content."""

from __future__ import annotations

import hashlib

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError


def cache_key(model: str, dimensions: int, content: bytes) -> str:
    """Returns where the embedding of this content by this model is kept."""
    return f"mediaq:embedding:{model}:{dimensions}:{hashlib.sha256(content).hexdigest()}"


async def recall(redis: Redis, key: str) -> list[float] | None:
    """Returns the embedding that is kept there; None where there is none, or where Redis is away."""
    try:
        kept = await redis.get(key)
    except RedisError as error:
        logger.warning("the embedding cache cannot be read: {}", error)
        return None
    return None if kept is None else msgspec.json.decode(kept, type=list[float])


async def keep(redis: Redis, key: str, vector: list[float], seconds: int) -> None:
    """Keeps an embedding; one that cannot be kept is made again when it is needed."""
    if seconds == 0:
        return
    try:
        await redis.set(key, msgspec.json.encode(vector), ex=seconds)
    except RedisError as error:
        logger.warning("the embedding cache cannot be written: {}", error)
