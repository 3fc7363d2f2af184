"""A running job's progress: on record under the fence, then told to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from loguru import logger

from mediaq.errors import FenceLost
from mediaq.model import Announcement, Job, JobEvent, Progress, SubTask, TaskStatus
from mediaq.queue.cancelling import cancel
from mediaq.store import attempts
from mediaq.store.pool import Store

Announce = Callable[[Announcement], Awaitable[None]]


class Reporter:
    """Collects what a job's operations report, and passes it on beside them: no operation waits for that.

    Reports that come faster than they can be passed on are passed on together.

    Args:
        store: The store.
        job: The job, with the fence of this start.
        announce: Told of each step after it is on record.
    """

    def __init__(self, store: Store, job: Job, announce: Announce) -> None:
        self._store = store
        self._job = job
        self._announce = announce
        self._news = asyncio.Event()
        tasks = {
            name: SubTask(TaskStatus(task["status"]), task.get("message"))
            for name, task in job.progress["subTasks"].items()
        }
        self.progress = Progress(tasks)

    def report(self, operation: str, status: TaskStatus, message: str | None = None) -> None:
        """Moves one operation on."""
        moved = self.progress.having(operation, status, message)
        if moved != self.progress:
            self.progress = moved
            self._news.set()

    def complete(self, operation: str) -> None:
        """Marks one operation as completed, unless it has said so itself, and how."""
        if self.progress.sub_tasks[operation].status is not TaskStatus.COMPLETED:
            self.report(operation, TaskStatus.COMPLETED)

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Passes reports on while the block runs; the last ones are for `announce_end`."""
        telling = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            await cancel([telling])

    async def announce_end(self, event: JobEvent) -> None:
        """Tells the listeners what has become of the job, and where its operations stand in the end.

        Args:
            event: What is on record of it now.
        """
        await self._announce(Announcement(self._job, event, self.progress.as_json()))

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            progress = self.progress
            try:
                await attempts.write_progress(self._store, self._job, progress)
            except FenceLost as error:
                # Whoever renews the lease hears of it, too.
                logger.info("progress is told no more: {}", error)
                return
            await self._announce(Announcement(self._job, JobEvent.PROGRESS, progress.as_json()))
