"""Operations wait for their turns: before anything is on record, using up nothing, and without Redis, too."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from cuttable import Cuttable
from house import Api, StandIn
from store_kit import accepted

from mediaq.embedded import samples
from mediaq.model import Announcement
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.quotas import CALLS
from mediaq.resources import Resources, open_resources
from mediaq.settings import Settings

QUEUE = "text-analysis"
RATE = "mediaq:rate:us-east-1:comprehend.DetectSentiment"


@pytest.fixture
def overrides() -> dict[str, str]:
    """Has every call made, although the texts are the same."""
    return {"MEDIAQ_REUSE__ENABLED": "false"}


@pytest.fixture
def scarce(overrides: dict[str, str]) -> None:
    """One call in two seconds; to be named before what uses the settings."""
    overrides["MEDIAQ_LIMITS__RATES"] = "comprehend.DetectSentiment=0.5"


@pytest.fixture
def openai(overrides: dict[str, str]) -> None:
    """Texts are embedded by OpenAI; likewise."""
    overrides["MEDIAQ_EMBEDDING__PROVIDER"] = "openai"


async def run(resources: Resources, item: str, *operations: str) -> dict[str, Any]:
    """Puts a text job on record and runs an attempt of it here."""
    asked = operations or ("detectSentiment",)
    job = await accepted(
        resources.store,
        type=QUEUE,
        media_item_id=item,
        operations=asked,
        request={
            "mediaItemId": item,
            "text": "A fine day by the sea.",
            "languageCode": "en",
            "operations": dict.fromkeys(asked, True),
        },
    )
    return await run_job(resources.tools, PIPELINES[QUEUE], job.id, announce)


async def announce(told: Announcement) -> None:
    """Tells nobody."""


async def until_drawn(resources: Resources, tickets: int) -> None:
    async with asyncio.timeout(10):
        while float(await resources.redis.hget(RATE, "issued") or 0) < tickets:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)


async def test_a_call_that_waits_for_its_turn_is_not_on_record(
    scarce: None, resources: Resources, standin: StandIn
) -> None:
    await run(resources, "first")
    waiting = asyncio.create_task(run(resources, "second"))
    await until_drawn(resources, 2)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    for table in ("operation_runs", "cost_entries"):
        assert await resources.store.pool.fetchval(f"select count(*) from {table}") == 1  # noqa: S608
    assert len(standin.calls()) == 1


async def test_waiting_for_a_turn_uses_up_no_patience(
    scarce: None, resources: Resources, standin: StandIn
) -> None:
    patient = attrs.evolve(resources.tools.settings.aws, provider_patience=0.5)
    tools = attrs.evolve(resources.tools, settings=attrs.evolve(resources.settings, aws=patient))
    impatient = attrs.evolve(resources, tools=tools)
    await run(impatient, "first")
    standin.fault("DetectSentiment", "unavailable")
    assert await run(impatient, "second")


async def test_one_throttled_answer_slows_down_that_operation_for_all(
    resources: Resources, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "throttle")
    standin.fault("DetectEntities", "unavailable")
    await run(resources, "item", "detectSentiment", "detectEntities")
    assert float(await resources.redis.hget(RATE, "share") or 0) == pytest.approx(0.7)
    others = RATE.replace("DetectSentiment", "DetectEntities")
    assert float(await resources.redis.hget(others, "share") or 0) == 1


async def test_calls_go_on_while_redis_is_away(settings: Settings, standin: StandIn) -> None:
    url = urlsplit(settings.redis.url)
    async with Cuttable(url.hostname or "", url.port or 0) as line:
        around = settings.redis.url.replace(f":{url.port}", f":{line.port}")
        redis = attrs.evolve(settings.redis, url=around)
        async with open_resources(attrs.evolve(settings, redis=redis)) as resources:
            await run(resources, "before")
            await line.cut()
            await asyncio.gather(*(run(resources, f"item-{n}") for n in range(5)))
    assert len(standin.billed()) == 6


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("image-processing", {"s3Key": "picture.jpg"}),
    ("video-processing", {"s3Key": "clip.mp4"}),
    ("text-analysis", {"text": samples.write_paragraph()}),
    ("embedding-generation", {"contentType": "text", "content": "hello"}),
    ("embedding-generation", {"contentType": "image", "s3Key": "picture.jpg"}),
]


async def test_every_call_takes_turns_under_a_name_that_the_quotas_know(
    openai: None, api: Api, resources: Resources
) -> None:
    await api.upload("picture.jpg", samples.draw_picture())
    await api.upload("clip.mp4", samples.film_clip())
    for job_type, request in REQUESTS:
        body = {"mediaItemId": "item", **request}
        if job_type != "embedding-generation":
            body["operations"] = {operation.name: True for operation in PIPELINES[job_type].operations}
        job = await api.run(job_type, body)
        assert job["status"] == "completed", job["failedReason"]
    found: list[bytes] = await resources.redis.keys("mediaq:rate:*")  # type: ignore[assignment]
    assert {key.decode().split(":")[3] for key in found} == set(CALLS)
