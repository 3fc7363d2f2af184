"""What a peer's module gives to enqueue with."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Producer(Protocol):
    """Enqueues jobs: `noop`, `nap`, or `stamp` with `sent`."""

    async def enqueue(self, job: str, **arguments: float) -> object:
        """Enqueue one job."""
        ...


class BatchProducer(Producer, Protocol):
    """Enqueues many jobs by one call as well."""

    async def enqueue_many(self, job: str, count: int) -> object:
        """Enqueue `count` jobs without arguments."""
        ...


OpenProducer = Callable[[], AbstractAsyncContextManager[Producer | BatchProducer]]
