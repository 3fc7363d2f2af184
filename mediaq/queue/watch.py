"""Waits for news of many jobs at once on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from mediaq.queue import keys
from mediaq.queue.view import ENDED, JobView
from mediaq.queue.wire import Wire, timeout_of

# Seconds one read waits: a job that is cancelled or deleted leaves no result, and is noticed after that time.
SLICE = 1.0
# Seconds until a read that could not be broken off, since Redis had not got it yet, is broken off again.
AGAIN = 0.01

Call = Callable[..., Awaitable[Any]]
# A job's id, and the id of the latest of its results that is known.
Known = tuple[str, str]


class Watch:
    """Reads the streams of results of all jobs that are waited for.

    Args:
        redis: Where the connection comes from; closing it ends the waits.
        call: Sends a command on another connection.
    """

    def __init__(self, redis: Redis, call: Call) -> None:
        timeout = timeout_of(redis)
        self._wire = Wire(redis, timeout=timeout and timeout + SLICE, tied=True)
        self._call = call
        self._waiting: dict[Known, list[asyncio.Future[None]]] = {}
        self._newcomer = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def wait(self, job: JobView) -> None:
        """Waits until a job has a result later than the latest known, or has ended without.

        Raises:
            redis.RedisError: Redis is away.
        """
        known = (job.id, job.latest)
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(known, []).append(news)
        self._newcomer.set()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        try:
            await news
        finally:
            self._forget(known, news)

    def _forget(self, known: Known, news: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(known, [])
        if news in waiting:
            waiting.remove(news)
        if not waiting:
            self._waiting.pop(known, None)

    async def _read_all(self) -> None:
        try:
            await self._wire.connect()
            reader = await self._wire.call("CLIENT", "ID")
            compare_at = self._now() + SLICE
            while self._waiting:
                await self._read(reader, list(self._waiting))
                if self._now() >= compare_at:
                    await self._compare(list(self._waiting))
                    compare_at = self._now() + SLICE
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self._tell_all(error)
        finally:
            self._reading = None
            await self._wire.close()

    async def _read(self, reader: int, known: list[Known]) -> None:
        self._newcomer.clear()
        streams = [keys.results(job_id) for job_id, _ in known]
        since = [latest or "0" for _, latest in known]
        answer = self._wire.call("XREAD", "BLOCK", int(SLICE * 1000), "STREAMS", *streams, *since)
        await self._wait_or_break_off(answer, reader)
        written = {stream.decode() for stream, _ in answer.result() or ()}
        self._tell([each for each in known if keys.results(each[0]) in written])

    async def _wait_or_break_off(self, answer: asyncio.Future[Any], reader: int) -> None:
        """Waits for the answer, or breaks the read off when there is another job to read of."""
        newcomer = asyncio.ensure_future(self._newcomer.wait())
        await asyncio.wait({answer, newcomer}, return_when=asyncio.FIRST_COMPLETED)
        newcomer.cancel()
        while not answer.done():
            await self._call("CLIENT", "UNBLOCK", reader)
            await asyncio.wait({answer}, timeout=AGAIN)

    async def _compare(self, known: list[Known]) -> None:
        answers = await asyncio.gather(*(self._call("HGET", keys.job(each[0]), "status") for each in known))
        statuses = ["" if answer is None else answer.decode() for answer in answers]
        self._tell([each for each, now in zip(known, statuses, strict=True) if not now or now in ENDED])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _tell(self, known: list[Known]) -> None:
        for each in known:
            for news in self._waiting.pop(each, []):
                if not news.done():
                    news.set_result(None)

    def _tell_all(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for news in (one for several in waiting.values() for one in several):
            if not news.done():
                news.set_exception(error)
