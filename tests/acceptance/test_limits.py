"""AWS's limits, kept by several workers together: they are used up and not met, and nobody waits for long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import media
import pytest
from asyncpg import Record
from house import OTHER, Api, StandIn
from programs import running

from mediaq.queue import keys
from mediaq.resources import Resources

pytest_plugins = ["program_fixtures"]

TEXTS, VIDEOS = "text-analysis", "video-processing"
# Of one call of a job.
DELAY, LENGTH = "started_at - accepted_at", "jobs.finished_at - started_at"


@pytest.fixture
def overrides() -> dict[str, str]:
    """Has every call made, although texts and videos are the same."""
    return {"MEDIAQ_REUSE__ENABLED": "false"}


@pytest.fixture
def standin(standin: StandIn) -> Iterator[StandIn]:
    """The session's stand-in, whose limits are AWS's again in the end."""
    yield standin
    limit(standin)


def limit(standin: StandIn, **limits: Any) -> None:
    httpx.put(f"{standin.url}/_standin/limits", json=limits).raise_for_status()


@asynccontextmanager
async def two_workers(environment: dict[str, str], **settings: str) -> AsyncIterator[None]:
    given = {**environment, **settings}
    async with running(given, "mediaq", "worker"), running(given, "mediaq", "worker"):
        yield


def text(number: int, **rest: Any) -> dict[str, Any]:
    return {
        "mediaItemId": f"note-{number}",
        "text": "A fine day by the sea.",
        "languageCode": "en",
        "operations": {"detectSentiment": True},
        **rest,
    }


async def until_ended(resources: Resources, number: int, seconds: float) -> None:
    """Waits until so many jobs have ended; all must have completed at their first attempt."""
    async with asyncio.timeout(seconds):
        while await _count(resources, "finished_at is not null") < number:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.1)
    assert await _count(resources, "status = 'completed' and attempts = 1") == number


async def _count(resources: Resources, condition: str) -> int:
    found: int = await resources.store.pool.fetchval(f"select count(*) from jobs where {condition}")  # noqa: S608
    return found


async def test_two_workers_use_up_the_rate_and_are_hardly_ever_throttled(
    api: Api, resources: Resources, standin: StandIn, environment: dict[str, str]
) -> None:
    rate, number = 5, 100
    limit(standin, rates={"DetectSentiment": rate})
    await asyncio.gather(*(api.accept(TEXTS, text(number)) for number in range(number)))
    async with two_workers(environment, MEDIAQ_LIMITS__RATES=f"comprehend.DetectSentiment={rate}"):
        await until_ended(resources, number, seconds=60)
    calls = standin.calls()
    times = [datetime.fromisoformat(call["at"]) for call in calls]
    assert (number - 1) / (times[-1] - times[0]).total_seconds() >= 0.95 * rate
    assert len(calls) - number < 0.02 * number
    assert len(standin.billed()) == number


async def test_who_has_one_job_does_not_wait_for_anothers_thousands(
    api: Api, resources: Resources, standin: StandIn, environment: dict[str, str]
) -> None:
    await put_on_record(resources, 5_000)
    standin.fault("DetectSentiment", "latency", seconds=1, times=None)
    async with asyncio.timeout(60):
        while await resources.redis.llen(keys.queue(TEXTS)) < 5_000:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.1)
    async with running(environment, "mediaq", "worker", "-q", f"{TEXTS}=2"):
        await until_called(resources, "m")
        await api.accept(TEXTS, text(0, mediaItemId="another"), OTHER)
        await until_called(resources, "another")
    [[waited]] = await seconds(resources, DELAY, "another")
    assert waited < 2 * max(length for [length] in await seconds(resources, LENGTH, "m"))


async def test_who_has_one_job_waits_at_aws_for_few_of_anothers(
    api: Api, resources: Resources, standin: StandIn, environment: dict[str, str]
) -> None:
    """Workers take no more of what would only wait in front of it: here twice their ten slots at most."""
    limit(standin, rates={"DetectSentiment": 5})
    await put_on_record(resources, 300)
    async with two_workers(environment, MEDIAQ_LIMITS__RATES="comprehend.DetectSentiment=5"):
        await until_called(resources, "m", 10)
        await api.accept(TEXTS, text(0, mediaItemId="another"), OTHER)
        await until_called(resources, "another")
    between = await resources.store.pool.fetchval(
        "select count(*) from operation_runs, jobs, operation_runs own"
        " where own.job_id = jobs.id and media_item_id = 'another'"
        "   and operation_runs.started_at between accepted_at and own.started_at"
    )
    assert between <= 20


async def put_on_record(resources: Resources, number: int) -> None:
    """Puts one user's jobs on record, for a service to push."""
    pool = resources.store.pool
    await pool.execute("insert into media_items (id, user_id) values ('m', 'user-1')")
    await pool.execute(
        "insert into jobs (id, type, user_id, media_item_id, request, progress, max_attempts, accepted_at)"
        " select 'job-' || n, $2, 'user-1', 'm', $3, $4, 3, now() - interval '1 day' + n * interval '1 s'"
        " from generate_series(1, $1) n",
        number,
        TEXTS,
        text(0, mediaItemId="m"),
        {"current": 0, "total": 1, "subTasks": {}},
    )


async def until_called(resources: Resources, media_item: str, number: int = 1) -> None:
    """Waits until so many calls for a media item were answered."""
    async with asyncio.timeout(30):
        while len(await seconds(resources, LENGTH, media_item)) < number:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


async def seconds(resources: Resources, what: str, media_item: str) -> list[Record]:
    """How long something took, of a media item's jobs that have ended."""
    found: list[Record] = await resources.store.pool.fetch(
        f"select extract(epoch from {what})::float from jobs, operation_runs runs"  # noqa: S608
        " where job_id = jobs.id and jobs.finished_at is not null and media_item_id = $1",
        media_item,
    )
    return found


async def test_no_more_videos_are_at_aws_at_once_than_it_takes(
    api: Api, resources: Resources, standin: StandIn, environment: dict[str, str]
) -> None:
    """Where they were more, the stand-in would have said so."""
    number = 25
    limit(standin, video_jobs=3)
    await api.upload("clip.mp4", media.film(10))
    await asyncio.gather(*(api.accept(VIDEOS, video(number)) for number in range(number)))
    async with two_workers(environment, MEDIAQ_LIMITS__VIDEO_JOBS="3"):
        await until_ended(resources, number, seconds=100)
    assert [call["error"] for call in standin.calls() if call["error"]] == []
    assert len(standin.billed()) == number


def video(number: int) -> dict[str, Any]:
    return {"mediaItemId": f"clip-{number}", "s3Key": "clip.mp4", "operations": {"detectLabels": True}}
