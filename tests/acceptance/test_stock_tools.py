"""Stock RQ tools, given only the environment and no flags, serve and show mediaq's queues."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from house import Api, StandIn

from mediaq.embedded import ports, samples
from mediaq.resources import Resources
from mediaq.settings import Settings

BIN = Path(sys.executable).parent
KEY = "picture.jpg"
IMAGE = {"mediaItemId": "m", "s3Key": KEY, "operations": {"detectLabels": True, "detectText": True}}


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What `stack.json` has under `env`, for the test's own servers."""
    return {
        **os.environ,
        "RQ_REDIS_URL": settings.redis.url,
        "RQ_DASHBOARD_REDIS_URL": settings.redis.url,
        "MEDIAQ_QUEUES__IMAGE_PROCESSING__BACKOFF": "1",
    }


@asynccontextmanager
async def running(environment: dict[str, str], *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a command while the block runs, and ends it with all that it started."""
    process = await asyncio.create_subprocess_exec(
        BIN / command[0], *command[1:], env=environment, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for child in children:
                child.kill()
            await process.wait()


async def until(api: Api, job_id: str, *statuses: str) -> dict[str, Any]:
    """Follows an image job until it has one of the statuses."""
    async with asyncio.timeout(60):
        while True:
            job = await api.job("image-processing", job_id)
            if job["status"] in statuses:
                return job
            await asyncio.sleep(0.1)


async def test_rq_worker_without_flags_completes_jobs(api: Api, environment: dict[str, str]) -> None:
    await api.upload(KEY, samples.draw_picture())
    job_id = await api.accept("image-processing", IMAGE)
    async with running(environment, "rq", "worker", "image-processing"):
        job = await until(api, job_id, "completed", "failed")
    assert job["status"] == "completed", job["failedReason"]


async def test_rq_worker_without_flags_retries_with_backoff(
    api: Api, standin: StandIn, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    standin.fault("DetectText", "unavailable", times=None)
    job_id = await api.accept("image-processing", IMAGE)
    impatient = {**environment, "MEDIAQ_AWS__PROVIDER_PATIENCE": "0"}
    async with running(impatient, "rq", "worker", "image-processing"):
        delayed = await until(api, job_id, "delayed")
        assert (delayed["attemptsMade"], delayed["progress"]["current"]) == (1, 2)
        standin.clear()
        job = await until(api, job_id, "completed", "failed")
    assert (job["status"], job["attemptsMade"]) == ("completed", 2)
    assert [call["operation"] for call in standin.billed()] == ["DetectText"]


async def test_a_killed_work_horse_costs_no_attempt_and_no_second_call(
    api: Api, standin: StandIn, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    standin.fault("DetectText", "latency", seconds=60, times=1)
    job_id = await api.accept("image-processing", IMAGE)
    async with running(environment, "rq", "worker", "image-processing") as worker:
        await until_recorded(api, job_id, "detectLabels")
        for horse in psutil.Process(worker.pid).children(recursive=True):
            horse.kill()
        job = await until(api, job_id, "completed", "failed")
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert [call["operation"] for call in standin.billed()].count("DetectLabels") == 1


async def until_recorded(api: Api, job_id: str, operation: str) -> None:
    async with asyncio.timeout(30):
        while True:
            job = await api.job("image-processing", job_id)
            if job["progress"]["subTasks"][operation]["status"] == "completed":
                return
            await asyncio.sleep(0.1)


async def until_answering(url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if await ports.answering(url):
                return
            await asyncio.sleep(0.1)


async def test_rq_info_shows_the_queues(api: Api, environment: dict[str, str]) -> None:
    await api.accept("image-processing", IMAGE)
    process = await asyncio.create_subprocess_exec(
        BIN / "rq", "info", "--raw", env=environment, stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0
    assert "queue image-processing 1" in output


async def test_rq_dashboard_shows_result_and_progress_of_a_finished_job(
    api: Api, resources: Resources, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    job = await api.run("image-processing", IMAGE)
    port = ports.free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port)]
    async with running(environment, "rq-dashboard", *options), httpx.AsyncClient() as http:
        base = f"http://127.0.0.1:{port}/0"
        await until_answering(f"{base}/data/queues.json")
        shown = (await http.get(f"{base}/data/job/{job['id']}.json")).json()
        page = await http.get(f"{base}/view/job/{job['id']}")
    assert page.status_code == 200
    assert shown["status"] == "finished"
    assert shown["description"] == "process-image"
    assert "MEDIAQ" in str(shown["result"])
    assert "'current': 2" in str(shown["metadata"]) or '"current": 2' in str(shown["metadata"])
