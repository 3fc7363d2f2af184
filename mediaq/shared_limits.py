"""What processes know together of limits, in a Redis that may be away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

# Seconds a call waits for Redis: the limits are there to help, and must hold nobody up.
TIMEOUT = 1.0
# Seconds between two tries to reach a Redis that is away.
RETRY = 1.0


class Away(Exception):
    """Redis cannot be asked: go on without it."""


class SharedLimits:
    """Runs Lua scripts, one round trip each, and tells once when Redis goes away and when it is back.

    While it is away one call a second tries to reach it; the others are told at once.

    Args:
        redis: A client, one that heeds cancellations.
        without: What holds while it is away, for the log.
    """

    def __init__(self, redis: Redis, without: str = "each process keeps AWS's limits for itself") -> None:
        self._redis = redis
        self._without = without
        self._away = False
        self._next_try = 0.0

    async def run(self, names: Sequence[str], keys: Sequence[str], args: Sequence[str | float]) -> Any:
        """Runs a script.

        Args:
            names: Files in `mediaq/lua`, without their ending; of several, one script of all their texts.
            keys: What the script sees as KEYS.
            args: What it sees as ARGV.

        Raises:
            Away: Redis is away, or refuses.
        """
        if self._away and time.monotonic() < self._next_try:
            raise Away
        self._next_try = time.monotonic() + RETRY
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._redis.register_script(_read(*names))(keys, args)
        except (RedisError, OSError) as error:
            if not self._away:
                logger.warning("Redis is away; {}: {}", self._without, error)
            self._away, self._next_try = True, time.monotonic() + RETRY
            raise Away from error
        if self._away:
            logger.info("Redis is back; all processes keep limits together")
        self._away = False
        return answer


@cache
def _read(*names: str) -> str:
    folder = resources.files("mediaq") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text() for name in names)
