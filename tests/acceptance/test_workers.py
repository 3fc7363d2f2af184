"""Workers of every kind, given only the environment, run mediaq's jobs."""

import asyncio

import psutil
import pytest
from house import Api, StandIn
from programs import IMAGE, KEY, running, until, until_recorded

from mediaq.embedded import ports, samples
from mediaq.settings import Settings

pytest_plugins = ["program_fixtures"]

WORKERS = [
    ("rq", "worker", "image-processing"),
    ("rq", "worker", "-w", "mediaq.AsyncWorker", "image-processing", "other"),
    ("mediaq", "worker"),
    ("mediaq", "worker", "-q", "image-processing=2", "--processes", "2"),
]


@pytest.mark.parametrize("command", WORKERS, ids=" ".join)
async def test_a_worker_of_any_kind_completes_jobs(
    command: tuple[str, ...], api: Api, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    job_id = await api.accept("image-processing", IMAGE)
    async with running(environment, *command):
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


async def test_a_deploy_hands_jobs_back_and_uses_up_no_attempt(
    api: Api, standin: StandIn, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    standin.fault("DetectText", "latency", seconds=60, times=1)
    job_id = await api.accept("image-processing", IMAGE)
    async with running({**environment, "MEDIAQ_WORKER__GRACE": "1"}, "mediaq", "worker") as old:
        await until_recorded(api, job_id, "detectLabels")
        old.terminate()
        async with asyncio.timeout(10):
            assert await old.wait() == 0
    async with running(environment, "mediaq", "worker"):
        job = await until(api, job_id, "completed", "failed")
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert [call["operation"] for call in standin.billed()].count("DetectLabels") == 1


async def test_a_killed_worker_costs_no_attempt_and_no_second_call(
    api: Api, standin: StandIn, environment: dict[str, str]
) -> None:
    hasty = {**environment, "MEDIAQ_WORKER__DEAD_AFTER": "3", "MEDIAQ_WORKER__BEAT": "0.5"}
    await api.upload(KEY, samples.draw_picture())
    standin.fault("DetectText", "latency", seconds=60, times=1)
    job_id = await api.accept("image-processing", IMAGE)
    async with running(hasty, "mediaq", "worker") as killed, running(hasty, "mediaq", "worker") as other:
        await until_recorded(api, job_id, "detectLabels")
        # Whichever of the two it is that has the job.
        for worker in (killed, other):
            worker.kill()
            await worker.wait()
        async with running(hasty, "mediaq", "worker"):
            job = await until(api, job_id, "completed", "failed")
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert [call["operation"] for call in standin.billed()].count("DetectLabels") == 1


async def test_serve_with_worker_runs_jobs_beside_the_service(
    api: Api, settings: Settings, environment: dict[str, str]
) -> None:
    await api.upload(KEY, samples.draw_picture())
    job_id = await api.accept("image-processing", IMAGE)
    port = str(ports.free_port())
    async with running(
        {**environment, "MEDIAQ_SERVICE__PORT": port}, "mediaq", "serve", "--with-worker"
    ) as both:
        job = await until(api, job_id, "completed", "failed")
        both.terminate()
        async with asyncio.timeout(15):
            await both.wait()
    assert job["status"] == "completed", job["failedReason"]
