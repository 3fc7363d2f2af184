"""How many requests a second each user may make, kept by all service processes together, in Redis."""

from __future__ import annotations

import math
from http import HTTPStatus

from redis.asyncio import Redis

from mediaq.service.problems import Problem
from mediaq.shared_limits import Away, SharedLimits

# Seconds' worth of requests that may come at once after a pause, one request at least.
BURST = 1.0


class Requests:
    """Admits requests, in one round trip each.

    Where Redis is away all are admitted: the limit is there to help, and what needs Redis refuses by itself.

    Args:
        redis: A client of the server that all processes share.
        rate: Requests a second of each user; 0: any number, and Redis is not asked.
    """

    def __init__(self, redis: Redis, rate: float) -> None:
        self._shared = SharedLimits(redis, "users' requests are not limited")
        self._rate = rate

    async def admit(self, user_id: str) -> None:
        """Counts a request.

        Raises:
            Problem: 429, where it is one too many for now.
        """
        if not self._rate:
            return
        try:
            wait = await self._shared.run(
                ("rate", "admit"), (f"mediaq:requests:{user_id}",), (self._rate, max(1.0, self._rate * BURST))
            )
        except Away:
            return
        if wait:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"you may make {self._rate:g} requests a second: this one is too early, and nothing was done",
                headers={"Retry-After": str(math.ceil(wait / 1e6))},
            )
