"""Waking operations whose asynchronous jobs at AWS have ended, in whichever process AWS's notice arrives.

A notice is a hint: whoever is woken asks AWS, and whoever is not woken asks after a while. So one that is
lost, repeated, early or made up costs time or a question, and never a result.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from loguru import logger
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from mediaq.aws import completions
from mediaq.aws.clients import Aws
from mediaq.aws.completions import Message
from mediaq.errors import ProviderError
from mediaq.queue.cancelling import cancel
from mediaq.settings import Completion

# Where a process tells the others of a job that has ended.
CHANNEL = "mediaq:ended"
# Seconds one wait for a word of another process takes at most.
LISTEN = 2.0
# Seconds between two tries to reach the queue, or Redis, at first and at most; and at least between two
# questions that brought nothing.
AGAIN, SELDOM = 1.0, 60.0
# Characters of a malformed message that the log shows.
SHOWN = 200


class Notices:
    """Receives notices while something in this process waits for one, and tells all processes of each.

    Args:
        aws: The clients.
        redis: The server that all workers share.
        settings: Where notices come from.
    """

    def __init__(self, aws: Aws, redis: Redis, settings: Completion) -> None:
        self._aws = aws
        self._redis = redis
        self._settings = settings
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    def comes_for(self, service: str) -> bool:
        """Tells whether AWS is to send notices of a service's jobs.

        Rekognition is told whereto; for Transcribe a rule of EventBridge is taken to be in place.
        """
        needed = self._settings.topic_arn if service == "rekognition" else self._settings.queue_url
        return bool(needed)

    @contextmanager
    def expecting(self, job: str) -> Iterator[asyncio.Event]:
        """Gives an event that is set whenever a job is said to have ended while the block runs.

        Args:
            job: AWS's id or name of the job.
        """
        told = asyncio.Event()
        self._waiting[job].add(told)
        self._listen_on()
        try:
            yield told
        finally:
            self._waiting[job].discard(told)
            if not self._waiting[job]:
                del self._waiting[job]

    async def close(self) -> None:
        """Stops at once; what was received by then and is not deleted is received again by others."""
        self._closed = True
        if self._listening:
            await cancel([self._listening])

    def _listen_on(self) -> None:
        if self._settings.queue_url and not self._listening and self._waiting and not self._closed:
            self._listening = asyncio.create_task(self._listen())
            self._listening.add_done_callback(self._listened)

    def _listened(self, task: asyncio.Task[None]) -> None:
        self._listening = None
        if not task.cancelled() and (error := task.exception()):
            logger.opt(exception=error).error("notices are received no more until another job waits for one")
            return
        # Someone may have begun to wait in the last moment.
        self._listen_on()

    async def _listen(self) -> None:
        # A question that is under way is waited for though nobody waits any more: cut short, it may have
        # taken a message from those who do.
        hearing = asyncio.create_task(self._hear())
        try:
            pause = AGAIN
            while self._waiting:
                if await self._receive():
                    pause = AGAIN
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, SELDOM)
        finally:
            await cancel([hearing])

    async def _receive(self) -> bool:
        """Asks the queue once; returns whether that went well."""
        asked = asyncio.get_running_loop().time()
        try:
            messages = await completions.receive(self._aws, self._settings.queue_url)
            if messages:
                await self._tell([job for each in messages if (job := _job_of(each))])
                await completions.delete(self._aws, self._settings.queue_url, messages)
        except (ProviderError, RedisError, OSError) as error:
            logger.warning("notices of ended jobs cannot be received, AWS is asked instead: {}", error)
            return False
        if not messages:
            await asyncio.sleep(max(0.0, asked + AGAIN - asyncio.get_running_loop().time()))
        return True

    async def _tell(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self._wake(job)
        for job in jobs:
            await self._redis.publish(CHANNEL, job)

    async def _hear(self) -> None:
        """Hears what other processes tell; while Redis is away, nothing."""
        while True:
            try:
                async with self._redis.pubsub() as line:
                    await line.subscribe(CHANNEL)
                    await self._hear_on(line)
            except (RedisError, OSError) as error:
                logger.debug("nothing is heard of other processes' notices: {}", error)
                await asyncio.sleep(AGAIN)

    async def _hear_on(self, line: PubSub) -> None:
        while True:
            word = await line.get_message(timeout=LISTEN)
            if word and word["type"] == "subscribe":
                # What was told before was not heard: all ask once more.
                for job in list(self._waiting):
                    self._wake(job)
            elif word and word["type"] == "message":
                self._wake(word["data"].decode(errors="replace"))

    def _wake(self, job: str) -> None:
        for told in self._waiting.get(job, ()):
            told.set()


def _job_of(message: Message) -> str | None:
    try:
        return completions.ended_job(message.body)
    except ValueError as error:
        logger.warning("a message is no notice of an ended job ({}): {!r}", error, message.body[:SHOWN])
        return None


@asynccontextmanager
async def open_notices(aws: Aws, redis: Redis, settings: Completion) -> AsyncIterator[Notices]:
    """Yields what wakes operations; connects to nothing before one waits."""
    notices = Notices(aws, redis, settings)
    try:
        yield notices
    finally:
        await notices.close()
