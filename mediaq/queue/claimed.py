"""A job as a worker claimed it: RQ's own job, read from its hash only when something looks at it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from redis import Redis
from rq.job import Job, JobStatus

Hash = dict[bytes, bytes]


class ClaimedJob(Job):
    """What `rq.get_current_job()` returns inside a job.

    RQ's class takes longer to build than a small job to run, and most jobs never look at it.

    Args:
        job_id: The job's id.
        fields: Its hash, as it was before it was claimed.
        worker_name: Who claimed it.
        started_at: When.
        connection: What the job's own methods talk to Redis with.
        serializer: RQ's serializer.
    """

    def __init__(
        self,
        job_id: str,
        fields: Hash,
        worker_name: str,
        started_at: datetime,
        connection: Redis,
        serializer: Any,
    ) -> None:
        self.__dict__["_id"] = job_id
        self.__dict__["_claimed"] = (fields, worker_name, started_at, connection, serializer)

    @property
    def is_read(self) -> bool:
        """Whether anything has looked at the job."""
        return "_claimed" not in self.__dict__

    def __getattr__(self, name: str) -> Any:
        if self.is_read or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._read()
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not self.is_read:
            self._read()
        object.__setattr__(self, name, value)

    def _read(self) -> None:
        fields, worker_name, started_at, connection, serializer = self.__dict__.pop("_claimed")
        super().__init__(self.__dict__["_id"], connection, serializer)
        self.restore(fields)
        self._status = JobStatus.STARTED
        self.worker_name = worker_name
        self.started_at = self.last_heartbeat = started_at
