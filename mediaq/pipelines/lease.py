"""A job's lease on record: while it is renewed, nobody takes the job for abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NoReturn, TypeVar

from mediaq.model import Job
from mediaq.pipelines.operation import Tools
from mediaq.store import attempts

T = TypeVar("T")


async def while_leased(tools: Tools, job: Job, work: Awaitable[T]) -> T:
    """Renews a job's lease until the work is done; work on a job that is another's by now is cancelled.

    Args:
        tools: The store and the settings.
        job: The job, with the fence of this start.
        work: What is to be done.

    Raises:
        FenceLost: Another worker has started the job since.
    """
    working = asyncio.ensure_future(work)
    renewing = asyncio.create_task(_renew(tools, job))
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else renewing.result()
    finally:
        working.cancel()
        renewing.cancel()
        await asyncio.gather(working, renewing, return_exceptions=True)


async def _renew(tools: Tools, job: Job) -> NoReturn:
    lease = tools.settings.worker.lease
    while True:
        await asyncio.sleep(lease / 4)
        await attempts.renew(tools.store, job, lease)
