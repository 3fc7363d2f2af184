"""Jobs to put into a store, and what became of them."""

import asyncio
import uuid
from decimal import Decimal
from typing import Any

import attrs

from mediaq.model import Charge, Job, JobStatus, NewJob
from mediaq.store import attempts, jobs
from mediaq.store.acceptance import accept
from mediaq.store.attempts import Ending
from mediaq.store.pool import Store

CHARGE = Charge("rekognition.image", Decimal(1), "image", Decimal("0.001"), "2026-09")
# Seconds for an acceptance.
PATIENCE = 10.0
OPERATIONS = ("detectLabels", "detectText")
JOB = NewJob(
    id="",
    type="image-processing",
    user_id="ann",
    media_item_id="photo",
    cost_center="team-a",
    request={"mediaItemId": "photo", "s3Key": "a.jpg", "operations": {"detectLabels": True}},
    operations=OPERATIONS,
    max_attempts=3,
)


async def accepted(store: Store, **changes: Any) -> Job:
    """Put a new job on record."""
    job, is_new = await accept(store, attrs.evolve(JOB, **{"id": uuid.uuid4().hex, **changes}), PATIENCE)
    assert is_new
    return job


async def started(store: Store, job: Job | None = None, owner: str = "worker", lease: float = 60) -> Job:
    """Start an attempt at a job, by default at a new one."""
    running = await attempts.start(store, (job or await accepted(store)).id, owner, lease)
    assert running is not None
    return running


async def look(store: Store, job: Job) -> Job:
    """Read a job back."""
    found = await jobs.find(store, job.id)
    assert found is not None
    return found


def completed(**metadata: Any) -> Ending:
    return Ending(JobStatus.COMPLETED, {"labels": []}, metadata=metadata)


def failed(reason: str = "no such object") -> Ending:
    return Ending(JobStatus.FAILED, {}, reason=reason, trace=f"Traceback: {reason}")


async def media_item(store: Store, item: str = "photo") -> dict[str, Any]:
    [row] = await store.pool.fetch("select * from media_items where id = $1", item)
    return dict(row)


async def lapse(store: Store, job: Job) -> None:
    """Let a job's lease run out."""
    await store.pool.execute("update jobs set lease_until = now() - interval '1 s' where id = $1", job.id)


async def all_wait(store: Store, count: int) -> None:
    """Wait until so many statements wait for one another."""
    here = "datname = current_database()"
    waiting = f"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and {here}"  # noqa: S608
    async with asyncio.timeout(20):
        while await store.pool.fetchval(waiting) < count:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
