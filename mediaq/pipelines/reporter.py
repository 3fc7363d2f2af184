"""A running job's progress: on record under the fence, then told to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mediaq.model import Job, Progress, SubTask, TaskStatus
from mediaq.store import jobs
from mediaq.store.pool import Store

Announce = Callable[[Mapping[str, Any]], Awaitable[None]]


class Reporter:
    """Collects what a job's operations report; reports go out one after the other.

    Args:
        store: The store.
        job: The job, with the fence of this start.
        progress: Where it stands so far.
        announce: Told of each step after it is on record.
    """

    def __init__(self, store: Store, job: Job, progress: Progress, announce: Announce) -> None:
        self._store = store
        self._job = job
        self._progress = progress
        self._announce = announce
        self._turn = asyncio.Lock()

    @classmethod
    def of(cls, store: Store, job: Job, announce: Announce) -> Reporter:
        """Returns a reporter that goes on from what is on record of the job."""
        tasks = {
            name: SubTask(TaskStatus(task["status"]), task.get("message"))
            for name, task in job.progress["subTasks"].items()
        }
        return cls(store, job, Progress(tasks), announce)

    async def report(self, operation: str, status: TaskStatus, message: str | None = None) -> None:
        """Moves one operation on.

        Raises:
            FenceLost: Another worker has started the job since.
        """
        async with self._turn:
            moved = self._progress.having(operation, status, message)
            if moved == self._progress:
                return
            self._progress = moved
            await jobs.write_progress(self._store, self._job, moved)
            await self._announce(moved.as_json())
