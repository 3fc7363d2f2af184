"""The same question about the same content of one user is asked once, however many ask, and wherever."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from house import OTHER, USER, Api, StandIn, work

from mediaq.aws import objects
from mediaq.aws.calls import call
from mediaq.embedded import samples
from mediaq.resources import Resources

TEXT = "We had a wonderful day in Paris."
KEY, FILM = "picture.jpg", "film.mp4"
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


async def test_embeddings_of_texts_of_two_users_are_two_calls(api: Api, standin: StandIn) -> None:
    """Or else a call for nothing would show that another has asked the same."""
    for user, item in ((USER, "a"), (OTHER, "b")):
        job_id = await api.accept(EMBEDDINGS, embedding(item), user)
        await work(api.settings, EMBEDDINGS)
        assert (await api.job(EMBEDDINGS, job_id, user))["returnvalue"]["source"] == "generated"
    assert len(standin.billed()) == 2


async def test_a_reading_of_the_same_text_is_reused_and_shown_as_such(api: Api, standin: StandIn) -> None:
    first = await api.run("text-analysis", reading("a"))
    second = await api.run("text-analysis", reading("b"))
    assert second["returnvalue"] == first["returnvalue"]
    assert second["progress"]["subTasks"]["detectSentiment"] == REUSED
    assert [(cost["certainty"], cost["units"], cost["amount"]) for cost in second["costs"]] == [
        ("reused", 0, 0)
    ]
    assert first["progress"]["subTasks"]["detectSentiment"] == {"status": "completed"}
    assert len(standin.calls()) == 1


@pytest.mark.parametrize(
    "other",
    [
        reading("b", text=TEXT + "!"),
        reading("b") | {"languageCode": "fr"},
        reading("b", operation="detectEntities"),
    ],
    ids=["text", "language", "operation"],
)
async def test_another_question_is_asked(api: Api, standin: StandIn, other: dict[str, Any]) -> None:
    await api.run("text-analysis", reading("a"))
    job = await api.run("text-analysis", other)
    assert certainties(job) == ["billed"]
    assert len(standin.billed()) == 2


async def test_the_same_picture_is_looked_at_once_and_another_of_its_name_again(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    await api.upload(KEY, samples.draw_picture())
    first, second = [await api.run("image-processing", looking(item)) for item in ("a", "b")]
    assert second["returnvalue"] == first["returnvalue"]
    assert (certainties(first), certainties(second)) == (["billed"], ["reused"])
    another = samples.draw_picture() + b"\0"
    await objects.write(resources.tools.aws, api.bucket, KEY, another, "image/jpeg")
    assert certainties(await api.run("image-processing", looking("c"))) == ["billed"]
    assert len(standin.billed()) == 2


@pytest.mark.parametrize("operation", ["transcribe", "detectLabels"])
async def test_a_film_that_was_analysed_is_not_analysed_again(
    api: Api, standin: StandIn, operation: str
) -> None:
    await api.upload(FILM, samples.film_clip())
    body = {"s3Key": FILM, "operations": {operation: True}}
    first = await api.run("video-processing", {"mediaItemId": "a", **body})
    second = await api.run("video-processing", {"mediaItemId": "b", **body})
    assert (certainties(first), certainties(second)) == (["billed"], ["reused"])
    assert second["progress"]["subTasks"][operation] == REUSED
    assert len(standin.billed()) == 1


async def test_a_transcript_that_is_reused_is_a_copy_of_its_own(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    await api.upload(FILM, samples.film_clip())
    body = {"s3Key": FILM, "operations": {"transcribe": True}}
    first, second = [
        (await api.run("video-processing", {"mediaItemId": item, **body}))["returnvalue"]["transcription"]
        for item in ("a", "b")
    ]
    aws = resources.tools.aws
    kept = [await objects.read(aws, api.bucket, found["s3Key"], most=10**6) for found in (first, second)]
    assert kept[0] == kept[1]
    assert first.pop("s3Key") != second.pop("s3Key")
    assert first == second

    await call(aws, "s3", "delete_object", Bucket=api.bucket, Key=await paid_transcript(resources))
    third = await api.run("video-processing", {"mediaItemId": "c", **body})
    assert certainties(third) == ["billed"]


async def paid_transcript(resources: Resources) -> str:
    """The key of the transcript that was paid for."""
    found: str = await resources.store.pool.fetchval(
        "select result->>'s3Key' from operation_runs where fingerprint is not null"
    )
    return found


async def test_results_that_were_copied_are_no_source_and_outlive_theirs(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    first = await api.run("text-analysis", reading("a"))
    second = await api.run("text-analysis", reading("b"))
    await resources.store.pool.execute("delete from jobs where id = $1", first["id"])
    assert (await api.job("text-analysis", second["id"]))["returnvalue"] == first["returnvalue"]
    assert certainties(await api.run("text-analysis", reading("c"))) == ["billed"]


async def test_a_result_is_reused_for_as_long_as_the_settings_say(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    await api.run("text-analysis", reading("a"))
    age = timedelta(seconds=api.settings.reuse.seconds + 1)
    await resources.store.pool.execute("update operation_runs set finished_at = now() - $1::interval", age)
    assert certainties(await api.run("text-analysis", reading("b"))) == ["billed"]


@pytest.fixture
def unused(overrides: dict[str, str]) -> None:
    """Has the settings, which are made after this, want no reuse."""
    overrides["MEDIAQ_REUSE__ENABLED"] = "false"


async def test_nothing_is_reused_where_the_settings_say_so(unused: None, api: Api, standin: StandIn) -> None:
    await api.upload(KEY, samples.draw_picture())
    for item in ("a", "b"):
        assert certainties(await api.run("text-analysis", reading(item))) == ["billed"]
        assert certainties(await api.run("image-processing", looking(item))) == ["billed"]
        assert (await api.run(EMBEDDINGS, embedding(item)))["returnvalue"]["source"] == "generated"


@pytest.fixture
def quick(overrides: dict[str, str]) -> None:
    """Has calls time out soon, and a worker's death be noticed soon."""
    overrides |= {
        "MEDIAQ_AWS__CALL_TIMEOUT": "2",
        "MEDIAQ_WORKER__BEAT": "0.5",
        "MEDIAQ_WORKER__DEAD_AFTER": "2",
        "MEDIAQ_WORKER__LEASE": "2",
    }


async def until_called(resources: Resources) -> None:
    """Waits until a call is on record."""
    async with asyncio.timeout(20):
        while not await resources.store.pool.fetchval("select count(*) from operation_runs"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_what_the_provider_refuses_one_it_refuses_all_who_wait(api: Api, standin: StandIn) -> None:
    standin.fault("InvokeModel", "error", seconds=1.0, code="ValidationException", status=400)
    ids = [await api.accept(EMBEDDINGS, embedding(f"item-{number}")) for number in range(5)]
    async with worker("-q", f"{EMBEDDINGS}=5"):
        jobs = await ended(api, EMBEDDINGS, ids)
    assert {job["status"] for job in jobs} == {"failed"}
    assert len(standin.calls()) == 1


async def test_who_waits_for_a_worker_that_died_asks_when_its_call_is_past_its_deadline(
    quick: None, api: Api, resources: Resources, standin: StandIn
) -> None:
    standin.fault("InvokeModel", "latency", seconds=60, times=None)
    first = await api.accept(EMBEDDINGS, embedding("a"))
    async with worker("-q", EMBEDDINGS) as one:
        await until_called(resources)
        one.kill()
    standin.clear()
    second = await api.accept(EMBEDDINGS, embedding("b"))
    async with worker("-q", EMBEDDINGS):
        jobs = await ended(api, EMBEDDINGS, [first, second])
    assert [job["status"] for job in jobs] == ["completed", "completed"]
    assert Counter(certainty for job in jobs for certainty in certainties(job)) == {
        "possibly_billed": 1,
        "billed": 1,
        "reused": 1,
    }
