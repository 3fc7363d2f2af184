"""What a worker says to Redis: what ended, and how many jobs it can take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mediaq.queue import keys
from mediaq.queue.dates import written
from mediaq.queue.ends import End
from mediaq.queue.scripts import read_script
from mediaq.queue.wire import Part, Wire

if TYPE_CHECKING:
    from mediaq.queue.lane import Lane
    from mediaq.queue.worker import AsyncWorker

Ask = tuple["Lane", int]

# Characters of a claim's token, with which the ids of the executions it starts begin.
TOKEN = 24


@frozen
class Claimed:
    """What a claim brought for one lane.

    Args:
        lane: The lane.
        asked: How many jobs it could take.
        paused: Whether its queue is paused.
        broken: Whether a key of its queue is of another type than RQ's.
        more: Whether it left ids in the queue, for it had passed over too many that lead nowhere.
        jobs: (job id, execution, hash) of each job.
    """

    lane: Lane
    asked: int
    paused: bool
    broken: bool
    more: bool
    jobs: list[tuple[str, str, dict[bytes, bytes]]]


class Calls:
    """A worker's calls, on one connection.

    Args:
        worker: The worker.
        redis: A client of its server.
    """

    def __init__(self, worker: AsyncWorker, redis: Redis) -> None:
        # A connection that has gone silent is given up in time for the leases: what was said can be repeated.
        self.wire = Wire(redis, timeout=worker.options.lease)
        self._worker = worker
        self._claim = read_script("claim")
        self._finish = read_script("fair", "admit", "dependents", "evict", "finish")
        self._own = (keys.worker(worker.name), keys.worker_executions(worker.name))

    async def connect(self) -> None:
        """Connects, and teaches Redis the scripts.

        Raises:
            redis.exceptions.RedisError, OSError: Redis cannot be reached, or takes no scripts.
        """
        await self.wire.connect()
        for script in (self._claim, self._finish):
            await self.wire.call("SCRIPT", "LOAD", script.text)

    def finish(self, ended: Sequence[End]) -> asyncio.Future[list[bytes]]:
        """Records how executions ended; repeating it is safe.

        Returns:
            For each: ended, gone, canceled or lost.
        """
        now = datetime.now(UTC)
        args: list[Part] = [keys.RQ, keys.OURS, now.timestamp(), written(now)]
        for end in ended:
            args += end.args
        return self._finish.send(self.wire, (keys.LEASES, *self._own, keys.QUEUES), args)

    def claim(self, token: str, asks: Sequence[Ask]) -> asyncio.Future[list[Any]]:
        """Takes and starts jobs; `read_claims` reads the answer.

        Where it is lost, Redis may have started jobs that nobody runs; a beat finds them.

        Args:
            token: What the ids of the executions begin with; of `TOKEN` characters, different for each claim.
            asks: How many jobs at most, by lane.
        """
        worker, now = self._worker, datetime.now(UTC)
        key_list = [keys.SUSPENDED, keys.PAUSED, keys.LEASES, *self._own]
        args: list[Part] = [keys.RQ, worker.name, now.timestamp(), written(now), worker.options.lease]
        args += [token, worker.job_monitoring_interval]
        for lane, most in asks:
            key_list += [keys.queue(lane.queue), keys.started(lane.queue)]
            args += [lane.queue, most]
        return self._claim.send(self.wire, key_list, args)


def read_claims(asks: Sequence[Ask], answer: list[Any]) -> list[Claimed] | None:
    """Returns what a claim brought for each lane; None where all workers are suspended."""
    suspended, *claims = answer
    if suspended:
        return None
    return [_read(ask, claim) for ask, claim in zip(asks, claims, strict=True)]


def _read(ask: Ask, claim: list[Any]) -> Claimed:
    state, *jobs = claim
    found = [(job.decode(), mark.decode(), _pair(flat)) for job, mark, flat in jobs]
    return Claimed(
        *ask, paused=state == b"paused", broken=state == b"broken", more=state == b"more", jobs=found
    )


def _pair(flat: list[bytes]) -> dict[bytes, bytes]:
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def is_our_fault(error: ResponseError) -> bool:
    """Tells a script that failed from a server that takes no writes for now, such as one that is full."""
    return str(error).startswith(("WRONGTYPE", "ERR ", "user_script"))
