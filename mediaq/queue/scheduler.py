"""Moves delayed jobs to their queues when they are due: RQ's own scheduler, pass by pass, off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis import Redis
from rq.scheduler import RQScheduler

from mediaq.queue.codec import PlainPickle


class Scheduler:
    """Shares RQ's scheduler locks with stock schedulers: each queue is moved by one process at a time.

    Args:
        queues: Names of the queues to look after.
        redis: A synchronous client; the scheduler makes a connection of its own like it.
    """

    def __init__(self, queues: Sequence[str], redis: Redis) -> None:
        self._scheduler = RQScheduler(queues, connection=redis, serializer=PlainPickle)
        self._registered = False

    async def move_due(self) -> None:
        """Moves the jobs that are due now.

        Raises:
            redis.RedisError: Redis is away; call again later.
        """
        await asyncio.to_thread(self._move_due)

    async def close(self) -> None:
        """Lets other schedulers take over at once, and closes the connection."""
        try:
            await asyncio.to_thread(self._scheduler.stop)
        finally:
            self._scheduler.connection.connection_pool.disconnect()

    def _move_due(self) -> None:
        if not self._registered:
            self._scheduler.register_birth()
            self._registered = True
        # Asked every time, so that a lock that another scheduler let go is taken within a pass.
        self._scheduler.acquire_locks()
        self._scheduler.heartbeat()
        self._scheduler.enqueue_scheduled_jobs()
