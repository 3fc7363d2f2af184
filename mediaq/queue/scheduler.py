"""Moves delayed jobs to their queues when they are due, beside RQ's own schedulers."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from uuid import uuid4

from redis.asyncio import Redis
from rq.scripts import RELEASE_LOCK_SCRIPT
from rq.utils import now, utcformat

from mediaq.queue import keys
from mediaq.queue.scripts import load_script

# Seconds a lock outlives its holder's last pass: RQ's own, for schedulers that look once a second.
LOCK_LIVES = 61
# Jobs that one call of move_due.lua moves at most, shared out among the queues, to keep Redis responsive.
BATCH = 500
# Such calls in one pass at most, so that its caller may stop.
MOST_CALLS = 100


class Scheduler:
    """Shares RQ's locks with stock schedulers: each queue is moved by one of them at a time.

    Whoever holds a lock and dies is succeeded when the lock expires, within `LOCK_LIVES` seconds. RQ's tools
    find this process as the scheduler of the queues that it holds.

    Args:
        queues: Names of the queues to look after.
        redis: An asyncio client.
        name: What the locks are held by; unique among all schedulers. By default a random one.
    """

    def __init__(self, queues: Sequence[str], redis: Redis, name: str | None = None) -> None:
        self.name = name or uuid4().hex
        self._key = keys.scheduler(self.name)
        self._queues = tuple(dict.fromkeys(queues))
        self._redis = redis
        self._created_at = utcformat(now())
        self._move = load_script(redis, "fair", "admit", "move_due")
        self._release = redis.register_script(RELEASE_LOCK_SCRIPT)

    async def move_due(self) -> int:
        """Moves the jobs that are due now, in one round trip if they are few; to be called once a second.

        Returns:
            How many were moved: up to `BATCH` x `MOST_CALLS`, the others with the next call.

        Raises:
            redis.RedisError: Redis is away; call again later.
        """
        moved = 0
        for _ in range(MOST_CALLS):
            some, more = await self._move_some()
            moved += some
            if not more:
                break
        return moved

    async def close(self) -> None:
        """Lets other schedulers take over at once.

        Raises:
            redis.RedisError: Redis is away; the locks expire.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for queue in self._queues:
                await self._release(keys=[keys.scheduler_lock(queue)], args=[self.name], client=pipe)
            pipe.delete(self._key)
            await pipe.execute()

    async def _move_some(self) -> tuple[int, bool]:
        time = now()
        share = max(BATCH // max(len(self._queues), 1), 1)
        moved, more = await self._move(
            keys=[self._key, *self._locks_and_registries()],
            args=[
                keys.RQ,
                self.name,
                int(time.timestamp()),
                utcformat(time),
                LOCK_LIVES,
                share,
                len(self._queues),
                *self._queues,
                *self._describe(utcformat(time)),
            ],
        )
        return moved, bool(more)

    def _locks_and_registries(self) -> list[str]:
        return [key for queue in self._queues for key in (keys.scheduler_lock(queue), keys.scheduled(queue))]

    def _describe(self, written: str) -> list[str]:
        """Returns fields and values of the hash that RQ's tools read."""
        fields = {
            "name": self.name,
            "hostname": socket.gethostname(),
            "pid": str(os.getpid()),
            "queues": ",".join(self._queues),
            "created_at": self._created_at,
            "last_heartbeat": written,
        }
        return [part for pair in fields.items() for part in pair]
