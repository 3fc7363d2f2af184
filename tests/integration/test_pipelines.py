"""The four pipelines end to end: REST, Redis, stock RQ's worker, S3, the AWS calls, Postgres."""

import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import media as films
import pytest
from house import Api, StandIn
from PIL import Image
from quarters import quarters, saved

from mediaq.aws import objects
from mediaq.embedded import samples
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.price_list import prices_on
from mediaq.pipelines.prices import GRAIN
from mediaq.queue.events import Tail
from mediaq.resources import Resources

TEXT = samples.write_paragraph()
KEYS = {"image-processing": "uploads/picture.jpg", "video-processing": "uploads/clip.mp4"}
EVERY_OPERATION = [
    (pipeline.queue, operation.name) for pipeline in PIPELINES.values() for operation in pipeline.operations
]


@pytest.fixture(scope="module")
def media() -> dict[str, bytes]:
    return {"image-processing": samples.draw_picture(), "video-processing": samples.film_clip()}


def request_for(job_type: str, *operations: str, item: str = "item-1") -> dict[str, Any]:
    match job_type:
        case "embedding-generation":
            return {"mediaItemId": item, "contentType": "text", "content": TEXT}
        case "text-analysis":
            return {"mediaItemId": item, "text": TEXT, "operations": dict.fromkeys(operations, True)}
        case _:
            return {
                "mediaItemId": item,
                "s3Key": KEYS[job_type],
                "operations": dict.fromkeys(operations, True),
            }


async def upload(api: Api, job_type: str, media: dict[str, bytes]) -> None:
    if job_type in media:
        await api.upload(KEYS[job_type], media[job_type])


def bill(calls: list[dict[str, Any]]) -> Iterator[tuple[str, Decimal]]:
    """What AWS charges for the stand-in's calls by the price list: item and amount."""
    for call in calls:
        prices = prices_on(datetime.fromisoformat(call["at"]))
        yield call["item"], prices.charge_units(call["item"], Decimal(call["units"]).quantize(GRAIN)).amount


async def ledger(resources: Resources) -> list[tuple[str, Decimal]]:
    rows = await resources.store.pool.fetch(
        "select item, amount from cost_entries where certainty = 'billed'"
    )
    return [(row["item"], row["amount"]) for row in rows]


@pytest.mark.parametrize(("job_type", "operation"), EVERY_OPERATION)
async def test_an_operation_alone_completes_and_its_cost_is_the_providers(
    api: Api,
    resources: Resources,
    standin: StandIn,
    media: dict[str, bytes],
    job_type: str,
    operation: str,
) -> None:
    await upload(api, job_type, media)
    job = await api.run(job_type, request_for(job_type, operation))
    assert job["status"] == "completed", job["failedReason"]
    assert job["progress"]["subTasks"][operation] == {"status": "completed"}
    expected = PIPELINES[job_type].operation(operation).result
    assert expected in job["returnvalue"]
    assert sorted(await ledger(resources)) == sorted(bill(standin.billed()))


@pytest.mark.parametrize("job_type", PIPELINES)
async def test_a_job_with_all_operations_ends_with_all_results_on_its_media_item(
    api: Api, resources: Resources, standin: StandIn, media: dict[str, bytes], job_type: str
) -> None:
    await upload(api, job_type, media)
    names = [operation.name for operation in PIPELINES[job_type].operations]
    job = await api.run(job_type, request_for(job_type, *names))

    assert job["status"] == "completed", job["failedReason"]
    assert job["attemptsMade"] == 1
    assert job["name"] == PIPELINES[job_type].description
    assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]
    assert job["progress"]["current"] == job["progress"]["total"] == len(names)
    item = await resources.store.pool.fetchrow("select * from media_items where id = 'item-1'")
    assert item is not None
    assert item["processing_status"] == "completed"
    expected = PIPELINES[job_type].metadata(job["returnvalue"])
    noted = {name: item["metadata"][name] for name in PIPELINES[job_type].noted}
    assert item["metadata"] == {
        **expected,
        **noted,
        "processingCost": pytest.approx(job["cost"], rel=1e-12),
        "processedAt": item["metadata"]["processedAt"],
    }
    charged = sum(amount for _, amount in bill(standin.billed()))
    assert Decimal(str(job["cost"])) == charged


async def test_results_have_the_keys_that_the_web_app_reads(api: Api, media: dict[str, bytes]) -> None:
    expected = {
        "image-processing": {"labels", "text", "faces", "moderation"},
        "video-processing": {"transcription", "labels", "thumbnails"},
        "text-analysis": {"sentiment", "entities", "keyPhrases", "language"},
        "embedding-generation": {"source", "embedding"},
    }
    for job_type, pipeline in PIPELINES.items():
        await upload(api, job_type, media)
        names = [operation.name for operation in pipeline.operations]
        job = await api.run(job_type, request_for(job_type, *names, item=job_type))
        assert set(job["returnvalue"]) == expected[job_type]


async def test_what_is_found_depends_on_what_was_sent(api: Api, standin: StandIn) -> None:
    good = await api.run(
        "text-analysis",
        {
            "mediaItemId": "a",
            "text": "What a wonderful day, I love it.",
            "operations": {"detectSentiment": True},
        },
    )
    bad = await api.run(
        "text-analysis",
        {
            "mediaItemId": "b",
            "text": "What a terrible day, I hate it.",
            "operations": {"detectSentiment": True},
        },
    )
    assert good["returnvalue"]["sentiment"]["Sentiment"] == "POSITIVE"
    assert bad["returnvalue"]["sentiment"]["Sentiment"] == "NEGATIVE"


async def test_a_known_language_is_not_asked_for(api: Api, standin: StandIn) -> None:
    body = {"mediaItemId": "a", "text": TEXT, "languageCode": "en", "operations": {"detectEntities": True}}
    await api.run("text-analysis", body)
    assert [call["operation"] for call in standin.billed()] == ["DetectEntities"]


async def test_thumbnails_are_pictures_in_s3_at_even_times(
    api: Api, resources: Resources, media: dict[str, bytes]
) -> None:
    await upload(api, "video-processing", media)
    job = await api.run("video-processing", request_for("video-processing", "generateThumbnails"))
    thumbnails = job["returnvalue"]["thumbnails"]
    assert len(thumbnails) == api.settings.video.thumbnails
    times = [thumbnail["atMs"] for thumbnail in thumbnails]
    assert times == sorted(set(times))
    for thumbnail in thumbnails:
        content = await objects.read(resources.tools.aws, api.bucket, thumbnail["s3Key"], most=1_000_000)
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, picture.size) == ("JPEG", (thumbnail["width"], thumbnail["height"]))


async def test_a_videos_duration_is_read_from_the_file(
    api: Api, standin: StandIn, media: dict[str, bytes]
) -> None:
    await upload(api, "video-processing", media)
    job = await api.run(
        "video-processing", {**request_for("video-processing", "detectLabels"), "duration": 86_400}
    )
    assert [cost["units"] for cost in job["costs"]] == [0.05]


async def test_a_film_of_odd_lengths_costs_what_the_provider_bills(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """1,320 ms of pictures are 0.022 minutes, and 2.01 s of sound are 3 s."""
    await api.upload(KEYS["video-processing"], films.film(33, sound=True, sound_seconds=2.01))
    job = await api.run("video-processing", request_for("video-processing", "transcribe", "detectLabels"))
    assert job["status"] == "completed", job["failedReason"]
    assert {cost["operation"]: cost["units"] for cost in job["costs"]} == {
        "detectLabels": 0.022,
        "transcribe": 3,
    }
    assert sorted(await ledger(resources)) == sorted(bill(standin.billed()))


@pytest.mark.parametrize("content_type", ["text", "image", "video"])
async def test_the_same_content_is_embedded_once_and_taken_from_the_cache_then(
    api: Api, resources: Resources, standin: StandIn, media: dict[str, bytes], content_type: str
) -> None:
    body: dict[str, Any] = {"contentType": content_type, "metadata": {"of": "test"}}
    if content_type == "text":
        body["content"] = TEXT
    else:
        job_type = f"{content_type}-processing"
        await upload(api, job_type, media)
        body["s3Key"] = KEYS[job_type]
    first = await api.run("embedding-generation", {"mediaItemId": "first", **body})
    second = await api.run("embedding-generation", {"mediaItemId": "second", **body})

    assert first["returnvalue"]["source"] == "generated"
    assert second["returnvalue"] == {"source": "cache", "embedding": first["returnvalue"]["embedding"]}
    assert len(standin.billed()) == 1
    assert [(cost["certainty"], cost["amount"]) for cost in second["costs"]] == [("reused", 0)]
    rows = await resources.store.pool.fetch("select * from embeddings order by media_item_id")
    assert [(row["media_item_id"], row["dimensions"], row["metadata"]) for row in rows] == [
        ("first", 1024, {"of": "test"}),
        ("second", 1024, {"of": "test"}),
    ]
    source = await resources.store.pool.fetchval(
        "select metadata->>'embeddingSource' from media_items where id = 'second'"
    )
    assert source == "cache"


async def test_an_image_of_any_kind_is_embedded(api: Api, standin: StandIn) -> None:
    await api.upload("image", saved(quarters((4096, 3072)), "WEBP"))
    body = {"mediaItemId": "m", "contentType": "image", "s3Key": "image"}
    job = await api.run("embedding-generation", body)
    assert (job["status"], len(job["returnvalue"]["embedding"])) == ("completed", 1024)
    assert len(standin.billed()) == 1


async def test_an_image_that_cannot_be_opened_is_not_embedded_and_not_charged(
    api: Api, standin: StandIn
) -> None:
    await api.upload("image", saved(quarters(), "WEBP")[:100])
    body = {"mediaItemId": "m", "contentType": "image", "s3Key": "image"}
    job = await api.run("embedding-generation", body)
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("failed", 1, [])
    assert job["failedReason"].startswith("generateEmbedding: image is damaged or cut short")
    assert standin.calls() == []


@pytest.fixture
def openai(overrides: dict[str, str]) -> None:
    """Has the settings, which are made after this, name OpenAI."""
    overrides |= {"MEDIAQ_EMBEDDING__PROVIDER": "openai", "MEDIAQ_EMBEDDING__DIMENSIONS": "256"}


async def test_openai_embeds_texts_where_the_settings_say_so(
    openai: None, standin: StandIn, api: Api
) -> None:
    job = await api.run("embedding-generation", request_for("embedding-generation"))
    assert len(job["returnvalue"]["embedding"]) == 256
    assert [cost["item"] for cost in job["costs"]] == ["openai.text-embedding-3-small.tokens"]
    charged = sum(amount for _, amount in bill(standin.billed()))
    assert Decimal(str(job["cost"])) == charged > 0


async def test_progress_is_announced_while_a_job_runs(api: Api, resources: Resources) -> None:
    await api.run("text-analysis", request_for("text-analysis", "detectSentiment"))
    tail = Tail(resources.redis)
    entries = await tail.load()
    await tail.close()
    told = [json.loads(entry.data) for entry in entries if entry.event == "progress"]
    steps = [progress["subTasks"]["detectSentiment"]["status"] for progress in told]
    assert steps == ["pending", "pending", "processing", "completed"]
    assert told[-1]["current"] == told[-1]["total"] == 2
    assert entries[-1].event == "completed"
