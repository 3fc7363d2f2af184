"""Callers hear of their jobs as things happen, and of every end for certain, whatever is lost on the way."""

import asyncio
from typing import Any

import pytest
from house import USER, Api, work
from listening import listening
from store_kit import accepted, completed, started

from mediaq.announcements import announce
from mediaq.model import Announcement, Job, JobEvent, Progress, TaskStatus
from mediaq.resources import Resources
from mediaq.store import attempts
from mediaq.store.attempts import Ending

TYPE = "image-processing"
OPERATIONS = ("detectLabels", "detectText")
TEXT = {
    "mediaItemId": "m",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}
ALL = "/api/events"


@pytest.fixture
def overrides() -> dict[str, str]:
    """Nothing that is not told is found within a test that does not look for it."""
    return {"MEDIAQ_EVENTS__LOOK": "1000", "MEDIAQ_UPKEEP__INTERVAL": "1000"}


@pytest.fixture
def watchful(overrides: dict[str, str]) -> None:
    """Has what was not told found soon; to be named before what uses the settings."""
    overrides["MEDIAQ_EVENTS__LOOK"] = "0.1"


def path_of(job: Job) -> str:
    return f"/api/queues/{job.type}/{job.id}/events"


def listen(api: Api, path: str, user: str = USER, last_id: str = "", **claims: Any) -> Any:
    return listening(api.http, path, api.as_user(user, **claims), last_id)


async def begun(resources: Resources, user: str = USER) -> Job:
    """A job of the user's that a worker has begun."""
    job = await accepted(resources.store, user_id=user, media_item_id=f"of {user}")
    return await started(resources.store, job)


async def move(resources: Resources, job: Job, operation: str = OPERATIONS[0]) -> None:
    """Moves a job on, on record, and tells of it."""
    progress = Progress.of(OPERATIONS).having(operation, TaskStatus.COMPLETED)
    await attempts.write_progress(resources.store, job, progress)
    await tell(resources, job, JobEvent.PROGRESS, progress.as_json())


async def tell(resources: Resources, job: Job, event: JobEvent, progress: Any = None) -> None:
    await announce(resources.redis, Announcement(job, event, progress))


async def close(resources: Resources, job: Job, ending: Ending | None = None) -> None:
    """Closes a job on record and tells nobody."""
    await attempts.end(resources.store, job, ending or completed())


async def finish(resources: Resources, job: Job, ending: Ending | None = None) -> None:
    ending = ending or completed()
    await close(resources, job, ending)
    await tell(resources, job, JobEvent(ending.status))


async def test_a_job_is_followed_from_its_acceptance_to_its_end(api: Api) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    async with listen(api, f"/api/queues/text-analysis/{job_id}/events") as stream:
        first = await stream.next()
        running = asyncio.create_task(work(api.settings, "text-analysis", most=1))
        events = await stream.rest()
        await running
    assert first.event == "progress"
    assert first.data == {
        "id": job_id,
        "jobType": "text-analysis",
        "current": 0,
        "total": 1,
        "message": "waiting",
        "subTasks": {"detectSentiment": {"status": "pending"}},
    }
    *_, last, end = events
    assert (last.event, last.data["current"]) == ("progress", 1)
    assert {event.event for event in events[:-1]} == {"progress"}
    job = await api.job("text-analysis", job_id)
    assert end.event == "completed"
    assert end.data == {
        name: job[name] for name in ("id", "jobType", "status", "returnvalue", "failedReason", "attemptsMade")
    }
    headers = stream.response.headers
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert stream.retry == 3000
