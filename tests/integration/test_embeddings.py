"""Embeddings by several models, of long texts and of films in pieces."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import media
import pytest
from house import OTHER, USER, Api, StandIn, work

from mediaq.embedded import samples
from mediaq.resources import Resources
from mediaq.settings import Settings

TITAN, MULTIMODAL = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-image-v1"
COHERE = "cohere.embed-english-v3"
# 30 KB of sentences that differ: four passages for Titan, and 60 or so for Cohere, which one call takes.
LONG = " ".join(f"Sentence number {number} is about town {number * 7919 % 997}." for number in range(700))


async def embed(api: Api, item: str = "m", **given: Any) -> dict[str, Any]:
    return await api.run("embedding-generation", {"mediaItemId": item, "contentType": "text", **given})


def models(*asked: str | tuple[str, int]) -> list[dict[str, Any]]:
    """Models as a request names them."""
    return [
        {"model": one} if isinstance(one, str) else {"model": one[0], "dimensions": one[1]} for one in asked
    ]


async def stored(resources: Resources, table: str = "embeddings") -> list[Any]:
    return await resources.store.pool.fetch(f"select * from {table} order by model, dimensions")  # noqa: S608


async def chunks(resources: Resources, item: str = "m") -> list[Any]:
    return await resources.store.pool.fetch(
        "select * from embedding_chunks where media_item_id = $1 order by model, dimensions, chunk", item
    )


def unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


def mean(vectors: list[list[float]]) -> list[float]:
    return unit([sum(values) for values in zip(*map(unit, vectors), strict=True)])


async def test_several_models_and_lengths_stand_side_by_side(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    asked = models((TITAN, 256), TITAN, COHERE, (MULTIMODAL, 384))
    job = await embed(api, content="A fine day.", models=asked)
    assert job["status"] == "completed", job["failedReason"]
    result = job["returnvalue"]
    assert [
        (one["model"], one["dimensions"], one["source"], len(one["embedding"]))
        for one in result["embeddings"]
    ] == [
        (TITAN, 256, "generated", 256),
        (TITAN, 1024, "generated", 1024),
        (COHERE, 1024, "generated", 1024),
        (MULTIMODAL, 384, "generated", 384),
    ]
    assert (result["source"], result["embedding"]) == ("generated", result["embeddings"][0]["embedding"])
    assert [(row["model"], row["dimensions"]) for row in await stored(resources)] == [
        (MULTIMODAL, 384),
        (TITAN, 256),
        (TITAN, 1024),
        (COHERE, 1024),
    ]
    assert Counter(cost["item"] for cost in job["costs"]) == Counter(
        call["item"] for call in standin.billed()
    )
    assert {(cost["item"], Decimal(str(cost["units"]))) for cost in job["costs"]} == {
        (call["item"], Decimal(call["units"])) for call in standin.billed()
    }
    metadata = await resources.store.pool.fetchval("select metadata from media_items where id = 'm'")
    assert [one["model"] for one in metadata["embeddings"]] == [TITAN, TITAN, COHERE, MULTIMODAL]


async def test_one_model_that_is_named_answers_as_the_default_does(api: Api, standin: StandIn) -> None:
    job = await embed(api, content="A fine day.", models=models(COHERE))
    assert set(job["returnvalue"]) == {"source", "embedding"}
    assert [call["item"] for call in standin.billed()] == ["bedrock.cohere-embed-english-v3.tokens"]


async def test_a_long_text_is_embedded_in_passages_that_are_stored_with_their_mean(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    job = await embed(api, content=LONG, metadata={"title": "towns"})
    assert job["status"] == "completed", job["failedReason"]
    parts = await chunks(resources)
    assert [row["chunk"] for row in parts] == [0, 1, 2, 3]
    places = [row["metadata"] for row in parts]
    assert "".join(LONG[place["begin"] : place["end"]] for place in places) == LONG
    assert all(LONG[place["begin"] : place["end"]].rstrip().endswith(".") for place in places)
    vectors = [row["vector"].to_list() for row in parts]
    assert job["returnvalue"]["embedding"] == pytest.approx(mean(vectors), abs=1e-6)
    [whole] = await stored(resources)
    assert whole["vector"].to_list() == pytest.approx(job["returnvalue"]["embedding"], abs=1e-6)
    assert whole["metadata"] == {"title": "towns"}
    assert len(standin.billed()) == len(job["costs"]) == 4


async def test_cohere_takes_many_passages_in_one_call(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    job = await embed(api, content=LONG, models=models(COHERE))
    assert job["status"] == "completed", job["failedReason"]
    assert len(await chunks(resources)) > 50
    assert len(standin.billed()) == len(job["costs"]) == 1


@pytest.mark.parametrize("asked", [[TITAN], [COHERE], [TITAN, COHERE]], ids=lambda asked: "+".join(asked))
async def test_a_long_text_that_was_embedded_is_reused_with_its_chunks(
    api: Api, resources: Resources, standin: StandIn, asked: list[str]
) -> None:
    first = await embed(api, "first", content=LONG, models=models(*asked))
    paid = len(standin.billed())
    second = await embed(api, "second", content=LONG, models=models(*asked))
    assert len(standin.billed()) == paid
    assert second["returnvalue"]["source"] == "cache"
    assert second["returnvalue"]["embedding"] == first["returnvalue"]["embedding"]
    assert {cost["certainty"] for cost in second["costs"]} == {"reused"}
    assert second["progress"]["subTasks"]["generateEmbedding"]["message"] == "reused"
    one, two = [await chunks(resources, item) for item in ("first", "second")]
    assert len(one) > 3
    assert [(row["chunk"], row["vector"], row["metadata"]) for row in one] == [
        (row["chunk"], row["vector"], row["metadata"]) for row in two
    ]


async def test_a_call_that_fails_leaves_those_that_were_paid_to_the_next_attempt(
    impatient: None, api: Api, resources: Resources, standin: StandIn
) -> None:
    standin.fault("InvokeModel", "throttle", times=1)
    job = await embed(api, content=LONG)
    assert job["status"] == "delayed"
    paid = len(standin.billed())
    second = await embed(api, "second", content=LONG)
    assert second["status"] == "completed"
    assert len(standin.billed()) == 4
    assert Counter(cost["certainty"] for cost in second["costs"]) == Counter(billed=4 - paid, reused=paid)


async def test_a_newer_vector_has_its_own_chunks(api: Api, resources: Resources, standin: StandIn) -> None:
    await embed(api, content=LONG)
    await embed(api, content="A fine day.")
    assert await chunks(resources) == []
    assert len(await stored(resources)) == 1


async def test_frames_of_a_film_are_chunks_of_its_vector(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    await api.upload("film.mp4", samples.film_clip())
    job = await embed(api, contentType="video", s3Key="film.mp4", videoFrames=3)
    assert job["status"] == "completed", job["failedReason"]
    parts = await chunks(resources)
    times = [row["metadata"]["atMs"] for row in parts]
    assert len(times) == 3
    assert times == sorted(set(times))
    assert job["returnvalue"]["embedding"] == pytest.approx(
        mean([row["vector"].to_list() for row in parts]), abs=1e-6
    )
    assert [call["item"] for call in standin.billed()] == ["bedrock.titan-embed-image-v1.images"] * 3


REFUSED = [
    ({"models": models("acme.embed")}, "there is no model acme.embed; there are"),
    ({"models": models((TITAN, 384))}, "makes vectors of length 1024, 512, 256, not 384"),
    ({"models": []}, "length >= 1"),
    ({"models": models(*[TITAN] * 6)}, "length <= 5"),
    ({"models": [{"model": TITAN, "length": 256}]}, "unknown field `length`"),
    ({"videoFrames": 2}, "`videoFrames` is for contentType `video`"),
    ({"contentType": "video", "s3Key": "a", "videoFrames": 21}, "<= 20"),
    ({"contentType": "video", "s3Key": "a", "videoFrames": 0}, ">= 1"),
    ({"contentType": "image", "s3Key": "a", "models": models(COHERE)}, "takes texts, no images"),
    ({"contentType": "video", "s3Key": "a", "models": models(COHERE)}, "takes texts, no videos"),
    ({"videoContent": "both"}, "`videoContent` is for contentType `video`"),
    ({"contentType": "video", "s3Key": "a", "videoContent": "words"}, "Invalid enum value 'words'"),
    (
        {"contentType": "video", "s3Key": "a", "videoContent": "transcript", "videoFrames": 2},
        "`videoFrames` is for videoContent `frames` or `both`",
    ),
    (
        {"contentType": "video", "s3Key": "a", "videoContent": "both", "models": models(COHERE)},
        "none of them takes pictures, for the frames",
    ),
    (
        {"contentType": "video", "s3Key": "a", "videoContent": "both", "models": models(MULTIMODAL)},
        "none of them takes texts alone, for the transcript",
    ),
]


@pytest.mark.parametrize(("given", "why"), REFUSED, ids=[why for _, why in REFUSED])
async def test_a_bad_request_is_refused_with_the_reason(api: Api, given: dict[str, Any], why: str) -> None:
    body = {"mediaItemId": "m", "contentType": "text", "content": "A fine day.", **given}
    answer = await api.post("embedding-generation", body)
    assert answer.status_code == 422
    assert why in answer.json()["error"]


@pytest.fixture
def titan_only(overrides: dict[str, str]) -> None:
    overrides["MEDIAQ_EMBEDDING__MODELS"] = f'["{TITAN}"]'


async def test_a_model_that_the_settings_do_not_allow_is_refused_with_its_place(
    titan_only: None, api: Api
) -> None:
    body = {"mediaItemId": "m", "contentType": "text", "content": "A", "models": models(TITAN, COHERE)}
    answer = await api.post("embedding-generation", body)
    assert answer.status_code == 422
    assert answer.json()["field"] == "models[1].model"
    assert f"embedding.models in the settings does not allow {COHERE}" in answer.json()["error"]


async def test_a_job_of_a_time_when_its_model_was_allowed_costs_nothing(
    api: Api, settings: Settings, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"mediaItemId": "m", "contentType": "text", "content": "A", "models": models(TITAN, COHERE)}
    job_id = await api.accept("embedding-generation", body)
    monkeypatch.setenv("MEDIAQ_EMBEDDING__MODELS", f'["{TITAN}"]')
    await work(settings, "embedding-generation")
    job = await api.job("embedding-generation", job_id)
    assert job["status"] == "failed"
    assert f"embedding.models in the settings does not allow {COHERE}" in job["failedReason"]
    assert (standin.calls(), job["costs"]) == ([], [])


@pytest.fixture
async def film(api: Api) -> dict[str, Any]:
    """A film with words, and the request to embed it."""
    await api.upload("film.mp4", samples.film_clip())
    return {"contentType": "video", "s3Key": "film.mp4"}


async def transcribe(api: Api, item: str = "m", user: str = USER, **how: Any) -> dict[str, Any]:
    body = {"mediaItemId": item, "s3Key": "film.mp4", "operations": {"transcribe": how or True}}
    job_id = await api.accept("video-processing", body, user)
    await work(api.settings, "video-processing", most=1)
    job = await api.job("video-processing", job_id, user)
    assert job["status"] == "completed", job["failedReason"]
    return job


async def test_a_films_transcript_is_embedded_as_its_text_would_be(
    api: Api, resources: Resources, standin: StandIn, film: dict[str, Any]
) -> None:
    said = (await transcribe(api, languageCode="en-GB"))["returnvalue"]["transcription"]["text"]
    standin.clear()
    job = await embed(api, **film, videoContent="transcript")
    assert job["status"] == "completed", job["failedReason"]
    assert [call["item"] for call in standin.billed()] == ["bedrock.titan-embed-text-v2.tokens"]
    assert [row["model"] for row in await stored(resources)] == [TITAN]
    same = await embed(api, "text", content=said)
    assert same["returnvalue"] == {**job["returnvalue"], "source": "cache"}


async def test_frames_and_transcript_stand_side_by_side(
    api: Api, resources: Resources, standin: StandIn, film: dict[str, Any]
) -> None:
    await transcribe(api)
    standin.clear()
    job = await embed(api, **film, videoContent="both", videoFrames=2)
    assert job["status"] == "completed", job["failedReason"]
    assert Counter(call["item"] for call in standin.billed()) == {
        "bedrock.titan-embed-image-v1.images": 2,
        "bedrock.titan-embed-text-v2.tokens": 1,
    }
    assert [one["model"] for one in job["returnvalue"]["embeddings"]] == [MULTIMODAL, TITAN]
    assert [row["model"] for row in await stored(resources)] == [MULTIMODAL, TITAN]
    assert [row["model"] for row in await chunks(resources)] == [MULTIMODAL] * 2
    named = await embed(api, "n", **film, videoContent="both", models=models(COHERE, (MULTIMODAL, 256)))
    assert [one["model"] for one in named["returnvalue"]["embeddings"]] == [COHERE, MULTIMODAL]


async def test_a_transcript_that_was_itself_reused_is_found(
    api: Api, standin: StandIn, film: dict[str, Any]
) -> None:
    await transcribe(api, "first")
    assert (await transcribe(api, "m"))["costs"][0]["certainty"] == "reused"
    assert (await embed(api, **film, videoContent="transcript"))["status"] == "completed"


async def changed(api: Api) -> None:
    await transcribe(api)
    await api.upload("film.mp4", media.film(25, sound=True))


async def anothers(api: Api) -> None:
    await transcribe(api, "theirs", OTHER)


async def nobodys(api: Api) -> None:
    """Nothing was transcribed."""


@pytest.mark.parametrize("content", ["transcript", "both"])
@pytest.mark.parametrize("before", [nobodys, changed, anothers])
async def test_without_a_transcript_of_its_own_the_job_says_what_to_do_and_costs_nothing(
    api: Api, standin: StandIn, film: dict[str, Any], before: Callable[[Api], Awaitable[None]], content: str
) -> None:
    await before(api)
    standin.clear()
    job = await embed(api, **film, videoContent=content)
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("failed", 1, [])
    assert (
        "no transcript of film.mp4 as it is now is on record: have a video-processing" in job["failedReason"]
    )
    assert standin.calls() == []


async def test_of_a_film_without_words_the_transcript_is_not_embedded(
    api: Api, standin: StandIn, film: dict[str, Any]
) -> None:
    await api.upload("film.mp4", media.film(50, sound=True))
    await transcribe(api)
    job = await embed(api, **film, videoContent="transcript")
    assert (job["status"], job["costs"]) == ("failed", [])
    assert "nothing is said in film.mp4, by its transcript" in job["failedReason"]
