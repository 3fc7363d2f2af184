"""Waiting for what providers limit: turns for calls, places for asynchronous jobs.

A job that has long to wait is parked, and its worker claims no further ones of its queue meanwhile: they
would wait behind it, in front of those of others who share the queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from mediaq.aws.calls import call
from mediaq.aws.limits import limit_of
from mediaq.pipelines.operation import Work


async def take_turn(work: Work, limit: str) -> None:
    """Waits until one more call may be made that counts for a limit; it is to follow at once.

    Args:
        work: The operation.
        limit: What the call counts for (`mediaq.aws.limits.limit_of`).
    """
    await work.tools.limits.rates.turn(limit, partial(_in_line, work))


async def ask(work: Work, service: str, method: str, **params: Any) -> dict[str, Any]:
    """Makes a call to AWS that costs nothing, when its turn comes.

    Args:
        work: The operation.
        service: boto's name of the service.
        method: The client's method.
        params: As the AWS API reference names them.

    Raises:
        ProviderError: By its subclass, what follows.
    """
    await take_turn(work, limit_of(service, method))
    return await call(work.tools.aws, service, method, **params)


def holding_place(work: Work, kind: str, name: str) -> AbstractAsyncContextManager[None]:
    """Waits for a place and holds it while the block runs, as long as AWS may run the job.

    Args:
        work: The operation.
        kind: A kind of places (`mediaq.aws.limits`).
        name: The asynchronous job's name, the same for every attempt.
    """
    return work.tools.limits.places.place(kind, name, partial(_in_line, work))


@asynccontextmanager
async def _in_line(work: Work) -> AsyncIterator[None]:
    async with work.clock.parked():
        with work.tools.holds.holding(work.job.type):
            yield
