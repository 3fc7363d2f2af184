"""What fails for now is tried again, by the table's backoff; what is on record is never called again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from house import Api, StandIn, work
from redis import Redis
from rq.job import Job as RQJob

from mediaq.embedded import samples
from mediaq.queue import keys
from mediaq.resources import Resources

KEY = "picture.jpg"


def image(*operations: str) -> dict[str, Any]:
    return {"mediaItemId": "m", "s3Key": KEY, "operations": dict.fromkeys(operations, True)}


@pytest.fixture
async def picture(api: Api) -> None:
    await api.upload(KEY, samples.draw_picture())


async def until_waiting(resources: Resources, queue: str) -> None:
    """Waits until the service's scheduler has moved the queue's delayed job."""
    await resources.redis.brpoplpush(keys.queue(queue), keys.queue(queue), timeout=15)


async def status_of_item(resources: Resources) -> str:
    status: str = await resources.store.pool.fetchval(
        "select processing_status from media_items where id = 'm'"
    )
    return status


async def test_throttling_within_the_operations_patience_uses_no_attempt(
    api: Api, standin: StandIn, picture: None
) -> None:
    standin.fault("DetectLabels", "throttle", times=2)
    job = await api.run("image-processing", image("detectLabels"))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert [call["billed"] for call in standin.calls()] == [False, False, True]
    assert [cost["certainty"] for cost in job["costs"]] == ["billed"]


async def test_a_failed_attempt_is_repeated_after_its_backoff_and_done_operations_are_not(
    impatient: None, api: Api, resources: Resources, standin: StandIn, picture: None
) -> None:
    standin.fault("DetectText", "throttle")
    job_id = await api.accept("image-processing", image("detectLabels", "detectText"))
    assert await status_of_item(resources) == "pending"
    await work(api.settings, "image-processing", most=1)

    delayed = await api.job("image-processing", job_id)
    assert (delayed["status"], delayed["attemptsMade"], delayed["finishedOn"]) == ("delayed", 1, None)
    assert delayed["failedReason"].startswith("detectText: Rekognition has been called too often for now: ")
    assert await status_of_item(resources) == "pending"
    counts = await resources.queues["image-processing"].counts()
    assert counts.delayed + counts.waiting == 1

    standin.clear()
    await until_waiting(resources, "image-processing")
    await work(api.settings, "image-processing", most=1)
    done = await api.job("image-processing", job_id)
    assert (done["status"], done["attemptsMade"], done["failedReason"]) == ("completed", 2, None)
    assert [call["operation"] for call in standin.billed()] == ["DetectText"]
    assert Counter(cost["operation"] for cost in done["costs"]) == {"detectLabels": 1, "detectText": 1}
    assert await status_of_item(resources) == "completed"


async def test_the_wait_doubles_and_the_last_attempt_fails_the_job(
    impatient: None, api: Api, resources: Resources, standin: StandIn, picture: None
) -> None:
    standin.fault("DetectLabels", "unavailable", times=None)
    job_id = await api.accept("image-processing", image("detectLabels"))
    waits = []
    with Redis.from_url(api.settings.redis.url) as redis:
        for attempt in range(3):
            await work(api.settings, "image-processing", most=1)
            rq_job = RQJob.fetch(job_id, connection=redis)
            waits.append(rq_job.retry_intervals)
            if attempt < 2:
                await until_waiting(resources, "image-processing")
    # One wait for each retry that is left; each failure sets the next one.
    assert waits == [[1, 1], [2], []]
    assert rq_job.get_status() == "failed"
    job = await api.job("image-processing", job_id)
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("failed", 3, [])
    assert await status_of_item(resources) == "failed"


async def test_a_lost_answer_is_possibly_billed_and_the_call_that_follows_has_its_own_row(
    api: Api, standin: StandIn, picture: None
) -> None:
    standin.fault("DetectFaces", "drop-after", times=1)
    job = await api.run("image-processing", image("detectFaces"))
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)
    assert [cost["certainty"] for cost in job["costs"]] == ["possibly_billed", "billed"]
    assert len(standin.billed()) == 2


@pytest.mark.parametrize("operation", ["transcribe", "detectLabels"])
async def test_a_lost_answer_to_the_start_of_a_long_job_starts_no_second_one(
    api: Api, standin: StandIn, operation: str
) -> None:
    await api.upload("clip.mp4", samples.film_clip())
    start = {"transcribe": "StartTranscriptionJob", "detectLabels": "StartLabelDetection"}[operation]
    standin.fault(start, "drop-after", times=1)
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": {operation: True}}
    job = await api.run("video-processing", body)
    assert job["status"] == "completed", job["failedReason"]
    assert [cost["certainty"] for cost in job["costs"]] == ["billed"]
    assert len(standin.billed()) == 1


@pytest.mark.parametrize(
    ("operation", "start"),
    [("transcribe", "StartTranscriptionJob"), ("detectLabels", "StartLabelDetection")],
)
async def test_a_long_job_that_failed_inside_the_provider_is_started_anew_and_charged_once(
    api: Api, standin: StandIn, operation: str, start: str
) -> None:
    await api.upload("clip.mp4", samples.film_clip())
    standin.fault(start, "fail-job", times=1)
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": {operation: True}}
    job = await api.run("video-processing", body)
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert [call["billed"] for call in standin.calls()] == [False, True]
    assert [cost["certainty"] for cost in job["costs"]] == ["billed"]


async def test_a_page_token_that_is_no_longer_good_has_the_pages_read_again(
    api: Api, standin: StandIn
) -> None:
    await api.upload("clip.mp4", samples.film_clip())
    standin.fault("GetLabelDetection", "error", code="InvalidPaginationTokenException", status=400, times=2)
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": {"detectLabels": True}}
    job = await api.run("video-processing", body)
    assert (job["status"], job["attemptsMade"]) == ("completed", 1), job["failedReason"]
    assert len(standin.billed()) == 1


async def test_a_long_job_that_may_not_be_looked_at_stays_possibly_billed(api: Api, standin: StandIn) -> None:
    await api.upload("clip.mp4", samples.film_clip())
    standin.fault("GetTranscriptionJob", "error", code="AccessDeniedException", status=400, times=None)
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": {"transcribe": True}}
    job = await api.run("video-processing", body)
    assert (job["status"], job["attemptsMade"]) == ("failed", 1)
    assert "AccessDeniedException" in job["failedReason"]
    assert [cost["certainty"] for cost in job["costs"]] == ["possibly_billed"]


@pytest.fixture
async def senseless(overrides: dict[str, str]) -> AsyncIterator[None]:
    """Has the settings, which are made after this, name a provider whose answers make no sense."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        overrides["MEDIAQ_EMBEDDING__PROVIDER"] = "openai"
        overrides["MEDIAQ_EMBEDDING__DIMENSIONS"] = "256"
        overrides["MEDIAQ_EMBEDDING__OPENAI_URL"] = f"http://127.0.0.1:{port}/v1"
        yield


async def test_a_fault_of_our_own_fails_the_attempt_and_keeps_its_trace_for_admins(
    senseless: None, api: Api
) -> None:
    job = await api.run(
        "embedding-generation", {"mediaItemId": "m", "contentType": "text", "content": "A fine day."}
    )
    assert (job["status"], job["attemptsMade"]) == ("delayed", 1)
    assert job["failedReason"] == "generateEmbedding: a fault in mediaq"
    assert [cost["certainty"] for cost in job["costs"]] == ["possibly_billed"]
    assert job["progress"]["subTasks"]["generateEmbedding"]["message"] == "a fault in mediaq"
    assert job["stacktrace"] == []
    url = f"/api/queues/embedding-generation/{job['id']}"
    seen = await api.http.get(url, headers=api.as_user("boss", admin=True))
    assert "KeyError: 'data'" in seen.json()["stacktrace"][0]


async def test_a_closed_job_that_runs_again_returns_its_stored_outcome(
    api: Api, resources: Resources, standin: StandIn, picture: None
) -> None:
    job = await api.run("image-processing", image("detectLabels"))
    await resources.redis.rpush(keys.queue("image-processing"), job["id"])
    await work(api.settings, "image-processing", most=1)
    assert await api.job("image-processing", job["id"]) == job
    assert len(standin.billed()) == 1


@pytest.fixture
def hasty(overrides: dict[str, str]) -> None:
    """Has videos wait little for their second attempt; to be named before what uses the settings."""
    overrides["MEDIAQ_QUEUES__VIDEO_PROCESSING__BACKOFF"] = "1"


async def test_what_an_attempt_left_on_record_stands_for_no_other_operation(
    impatient: None, hasty: None, api: Api, resources: Resources, standin: StandIn
) -> None:
    """What a film is goes on record first; the next attempt must not take it for what is asked of it."""
    await api.upload("clip.mp4", samples.film_clip())
    standin.fault("StartLabelDetection", "unavailable")
    standin.fault("StartTranscriptionJob", "unavailable")
    operations = {"transcribe": True, "detectLabels": True}
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": operations}
    job_id = await api.accept("video-processing", body)
    await work(api.settings, "video-processing", most=1)
    assert (await api.job("video-processing", job_id))["status"] == "delayed"

    standin.clear()
    await until_waiting(resources, "video-processing")
    await work(api.settings, "video-processing", most=1)
    done = await api.job("video-processing", job_id)
    assert (done["status"], done["attemptsMade"]) == ("completed", 2)
    assert {"transcription", "labels"} <= done["returnvalue"].keys()
    assert Counter(cost["operation"] for cost in done["costs"]) == {"transcribe": 1, "detectLabels": 1}
