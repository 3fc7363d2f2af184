"""A job's progress is told beside the job, which never waits for a listener."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from store_kit import started

from mediaq.model import TaskStatus
from mediaq.pipelines.reporter import Reporter
from mediaq.store.pool import Store

pytest_plugins = ["store_fixtures"]


async def test_a_listener_that_loses_a_cancellation_does_not_hold_up_the_end(store: Store) -> None:
    """As asyncio.wait_for does in Python 3.11, now and then."""
    heard = asyncio.Event()

    async def announce(progress: Mapping[str, Any]) -> None:
        heard.set()
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    reporter = Reporter(store, await started(store), announce)
    async with asyncio.timeout(20), reporter.telling():
        reporter.report("detectLabels", TaskStatus.PROCESSING)
        await heard.wait()
