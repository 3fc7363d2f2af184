"""Jobs as workers and the service leave them, on record and announced, without AWS and without a queue."""

import asyncio
import time
import uuid

from audience.listeners import TYPE
from audience.stage import USER
from mediaq.announcements import announce
from mediaq.model import Announcement, Job, JobEvent, JobStatus, NewJob, Progress, TaskStatus
from mediaq.resources import Resources
from mediaq.store import attempts
from mediaq.store.acceptance import accept

OPERATIONS = ("detectLabels", "detectText", "detectFaces", "detectModerationLabels")
# What a picture with a dozen things in it comes to, about 2 KB.
RESULT = {
    "labels": [{"Name": f"Thing {number}", "Confidence": 97.5, "Parents": []} for number in range(40)],
}
_PATIENCE = 10.0
_LEASE = 600.0


async def accept_one(resources: Resources) -> str:
    """Put a job on record."""
    new = NewJob(
        id=uuid.uuid4().hex,
        type=TYPE,
        user_id=USER,
        media_item_id=uuid.uuid4().hex,
        cost_center=None,
        request={"operations": dict.fromkeys(OPERATIONS, True)},
        operations=OPERATIONS,
        max_attempts=3,
    )
    job, _ = await accept(resources.store, new, _PATIENCE)
    return job.id


async def run_one(resources: Resources, job_id: str) -> float:
    """Take a job through its operations to its end; return when that was sent to Postgres."""
    job = await attempts.start(resources.store, job_id, "audience", _LEASE)
    progress = Progress.of(OPERATIONS)
    for operation in OPERATIONS:
        progress = progress.having(operation, TaskStatus.COMPLETED)
        await attempts.write_progress(resources.store, job, progress)
        await _tell(resources, job, JobEvent.PROGRESS, progress)
    ending = attempts.Ending(JobStatus.COMPLETED, RESULT, metadata=RESULT)
    ended_at = time.monotonic()
    await attempts.end(resources.store, job, ending, progress)
    await _tell(resources, job, JobEvent.COMPLETED, progress)
    return ended_at


async def run_all(resources: Resources, jobs: list[str], rate: float) -> dict[str, float]:
    """Have so many jobs end a second; return when each did."""
    began = time.monotonic()

    async def run(number: int, job_id: str) -> float:
        await asyncio.sleep(max(began + number / rate - time.monotonic(), 0))
        return await run_one(resources, job_id)

    return dict(zip(jobs, await asyncio.gather(*map(run, range(len(jobs)), jobs)), strict=True))


async def _tell(resources: Resources, job: Job, event: JobEvent, progress: Progress) -> None:
    await announce(resources.redis, Announcement(job, event, progress.as_json()))
