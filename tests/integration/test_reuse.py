"""The same question about the same content of one user is asked once, however many ask, and wherever."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from house import Api, StandIn

from mediaq.resources import Resources

TEXT = "We had a wonderful day in Paris."
KEY = "picture.jpg"
EMBEDDINGS = "embedding-generation"
REUSED = {"status": "completed", "message": "reused"}


def embedding(item: str = "m", content: str = TEXT) -> dict[str, Any]:
    return {"mediaItemId": item, "contentType": "text", "content": content}


def reading(item: str, text: str = TEXT, operation: str = "detectSentiment") -> dict[str, Any]:
    return {"mediaItemId": item, "text": text, "languageCode": "en", "operations": {operation: True}}


def looking(item: str, operation: str = "detectLabels") -> dict[str, Any]:
    return {"mediaItemId": item, "s3Key": KEY, "operations": {operation: True}}


def certainties(job: dict[str, Any]) -> list[str]:
    return [cost["certainty"] for cost in job["costs"]]


@asynccontextmanager
async def worker(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `mediaq worker` with the test's settings while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mediaq.cli", "worker", *options, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def ended(api: Api, job_type: str, ids: list[str]) -> list[dict[str, Any]]:
    """Waits until all of the jobs have ended."""
    async with asyncio.timeout(60):
        for job_id in ids:
            while not (await api.job(job_type, job_id))["finishedOn"]:  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(0.05)
    return [await api.job(job_type, job_id) for job_id in ids]


async def test_a_hundred_identical_jobs_at_once_in_two_processes_pay_for_one_call(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    standin.fault("InvokeModel", "latency", seconds=1.5, times=None)
    ids = [await api.accept(EMBEDDINGS, embedding(f"item-{number}")) for number in range(100)]
    async with worker("--processes", "2", "-q", f"{EMBEDDINGS}=30"):
        jobs = await ended(api, EMBEDDINGS, ids)

    assert Counter(job["status"] for job in jobs) == {"completed": 100}
    assert len({tuple(job["returnvalue"]["embedding"]) for job in jobs}) == 1
    assert Counter(job["returnvalue"]["source"] for job in jobs) == {"generated": 1, "cache": 99}
    assert [call["operation"] for call in standin.calls()] == ["InvokeModel"]
    assert Counter(certainty for job in jobs for certainty in certainties(job)) == {"billed": 1, "reused": 99}
    assert await resources.store.pool.fetchval("select count(*) from embeddings") == 100
