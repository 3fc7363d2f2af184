"""The settings of the queues, one table a job type."""

from __future__ import annotations

import attrs
from attrs import frozen

from mediaq.fields import number, whole

ATTEMPTS = "Attempts a job has."
BACKOFF = "Seconds before the second attempt; doubles with each further one."
TIMEOUT = "Seconds one attempt may take."
CONCURRENCY = "Jobs at once in one process."
KEEP_COUNT = "Completed jobs that stay in Redis at most."
DAY = 86400
# Waits double: after more attempts they would be longer than calendars are.
MOST_ATTEMPTS = 20


@frozen
class Queue:
    """One job type: how often, how long, and how long Redis remembers."""

    attempts: int = whole(3, ATTEMPTS, most=MOST_ATTEMPTS)
    backoff: float = number(2.0, BACKOFF, most=DAY)
    backoff_ceiling: float = number(3600.0, "Seconds between two attempts at most, jitter aside.", most=DAY)
    jitter: float = number(0.0, "Share by which a wait is lengthened at random, 0 to 1.", most=1)
    timeout: int = whole(300, TIMEOUT)
    keep_completed: int = whole(3600, "Seconds a completed job stays in Redis.")
    keep_completed_count: int = whole(100, KEEP_COUNT)
    keep_failed: int = whole(86400, "Seconds a failed job stays in Redis.")
    concurrency: int = whole(3, CONCURRENCY)


# A table's own defaults have to be those of its class: typed-settings reads them there.
@frozen
class VideoQueue(Queue):
    """The defaults of video-processing."""

    backoff: float = number(5.0, BACKOFF, most=DAY)
    timeout: int = whole(14400, TIMEOUT)
    keep_completed_count: int = whole(50, KEEP_COUNT)
    concurrency: int = whole(2, CONCURRENCY)


@frozen
class TextQueue(Queue):
    """The defaults of text-analysis."""

    backoff: float = number(1.0, BACKOFF, most=DAY)
    keep_completed_count: int = whole(200, KEEP_COUNT)
    concurrency: int = whole(5, CONCURRENCY)


@frozen
class EmbeddingQueue(Queue):
    """The defaults of embedding-generation."""

    attempts: int = whole(5, ATTEMPTS, most=MOST_ATTEMPTS)
    backoff: float = number(3.0, BACKOFF, most=DAY)
    keep_completed_count: int = whole(500, KEEP_COUNT)
    concurrency: int = whole(10, CONCURRENCY)


@frozen
class Queues:
    """The queues, one a job type."""

    image_processing: Queue = Queue()
    video_processing: VideoQueue = VideoQueue()
    text_analysis: TextQueue = TextQueue()
    embedding_generation: EmbeddingQueue = EmbeddingQueue()

    @classmethod
    def names(cls) -> list[str]:
        """Returns the names of all queues, as they stand in Redis."""
        return [attribute.name.replace("_", "-") for attribute in attrs.fields(cls)]

    def named(self, queue: str) -> Queue:
        """Returns the settings of the queue of that name, as it stands in Redis (`image-processing`)."""
        found: Queue = getattr(self, queue.replace("-", "_"))
        return found
