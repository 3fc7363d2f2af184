"""What a job is estimated to cost, worked out by hand from the published prices."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.comprehend import SENTIMENT_BYTES, TEXT_BYTES
from mediaq.pipelines.passages import billed_at_most, split
from mediaq.pipelines.price_list import prices_now
from mediaq.settings import Budgets, Embedding, Settings, Text, Video

SENTENCE = "It was a fine day by the sea. "


def estimate(job_type: str, settings: Settings | None = None, **body: Any) -> Decimal:
    pipeline = PIPELINES[job_type]
    checked: Any = msgspec.convert({"mediaItemId": "m", **body}, type=pipeline.request)
    return pipeline.estimate(msgspec.to_builtins(checked), settings or Settings())


def image(**operations: Any) -> Decimal:
    return estimate("image-processing", s3Key="k", operations=operations)


def text(*operations: str, settings: Settings | None = None, **body: Any) -> Decimal:
    return estimate("text-analysis", settings, operations=dict.fromkeys(operations, True), **body)


def video(*operations: str, settings: Settings | None = None, **body: Any) -> Decimal:
    asked = dict.fromkeys(operations, True)
    return estimate("video-processing", settings, s3Key="k", operations=asked, **body)


def test_each_operation_on_an_image_is_a_call() -> None:
    assert image(detectLabels=True) == Decimal("0.001")
    assert image(detectLabels={"maxLabels": 3}, detectText=True, detectFaces=False) == Decimal("0.002")


@pytest.mark.parametrize(("length", "units"), [(1, 3), (300, 3), (301, 4), (5000, 50)])
def test_a_text_is_billed_by_begun_units_and_three_at_least(length: int, units: int) -> None:
    assert text("detectSentiment", text="a" * length, languageCode="en") == units * Decimal("0.0001")


def test_a_long_text_is_billed_by_its_passages() -> None:
    long = SENTENCE * 400
    passages = [-(-passage.length // 100) for passage in split(long, SENTIMENT_BYTES)]
    assert len(passages) == 3
    assert text("detectSentiment", text=long, languageCode="en") == sum(passages) * Decimal("0.0001")
    assert text("detectEntities", text=long, languageCode="en") == 120 * Decimal("0.0001")


def test_a_language_that_only_others_need_costs_the_least_charge() -> None:
    """3 units for it, and 120 for the entities; of the whole text where it is asked for."""
    long = SENTENCE * 400
    assert text("detectEntities", text=long) == 123 * Decimal("0.0001")
    assert text("detectEntities", "detectLanguage", text=long) == 240 * Decimal("0.0001")


def test_a_text_in_s3_is_taken_for_the_longest_that_is_read() -> None:
    """100,000 bytes in passages of 312 characters at least."""
    settings = Settings(text=Text(most_bytes=100_000))
    found = text("detectSentiment", settings=settings, s3Key="k", languageCode="en")
    assert found == 1322 * Decimal("0.0001")


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    st.integers(1, 400),
    st.sampled_from([SENTIMENT_BYTES, 500, 64]),
)
def test_no_text_of_a_size_is_billed_for_more_than_its_bound(piece: str, times: int, most: int) -> None:
    whole = piece * times
    price = prices_now().charge
    billed = sum(
        (price("comprehend.detect-sentiment", passage.length).amount for passage in split(whole, most)),
        Decimal(0),
    )
    bound = billed_at_most(len(whole.encode()), most)
    assert billed <= price("comprehend.detect-sentiment", bound).amount


def test_the_bound_of_a_large_text_is_near_what_it_costs() -> None:
    assert billed_at_most(10_000_000, TEXT_BYTES) < 10_000_000 * 1.02


def test_a_video_is_billed_by_its_duration() -> None:
    """90 s: 1.5 minutes at $0.10, 90 s at $0.0001; pictures are made here."""
    assert video("detectLabels", duration=90) == Decimal("0.15")
    assert video("transcribe", duration=89.001) == Decimal("0.009")
    assert video("detectLabels", "transcribe", "generateThumbnails", duration=90) == Decimal("0.159")
    assert video("generateThumbnails", duration=90) == 0


@pytest.mark.parametrize("seconds", [12.345, 0.001, 59.999])
def test_the_milliseconds_of_a_duration_are_counted_as_they_are_written(seconds: float) -> None:
    expected = prices_now().charge("rekognition.video.labels", round(seconds * 1000)).amount
    assert video("detectLabels", duration=seconds) == expected


def test_a_video_without_a_duration_lasts_what_the_settings_say() -> None:
    assert video("detectLabels") == Decimal("1.00")
    settings = Settings(budgets=Budgets(video_seconds=60))
    assert video("detectLabels", settings=settings) == Decimal("0.10")


def test_a_video_is_estimated_as_long_as_providers_take_at_most() -> None:
    """What lasts longer is refused before it is called: 6 hours of pictures, here 1 hour of sound."""
    assert video("detectLabels", duration=1e308) == Decimal("36.00")
    settings = Settings(video=Video(longest_sound=3600))
    assert video("transcribe", settings=settings, duration=1e308) == Decimal("0.36")


def test_a_text_is_embedded_for_as_many_tokens_as_it_has_bytes_at_most() -> None:
    """12 bytes: 0.012 thousand tokens at $0.00002."""
    assert estimate("embedding-generation", contentType="text", content="é" * 6) == Decimal("0.00000024")


def test_each_model_embeds_for_its_own_price() -> None:
    asked = [{"model": "amazon.titan-embed-text-v2:0"}, {"model": "cohere.embed-english-v3"}]
    found = estimate("embedding-generation", contentType="text", content="a" * 1000, models=asked)
    assert found == Decimal("0.00002") + Decimal("0.0001")


def test_pictures_are_embedded_for_the_price_of_each() -> None:
    assert estimate("embedding-generation", contentType="image", s3Key="k") == Decimal("0.00006")
    found = estimate("embedding-generation", contentType="video", s3Key="k", videoFrames=20)
    assert found == Decimal("0.0012")


def test_a_model_that_there_is_not_costs_nothing() -> None:
    """Its job fails before a call."""
    settings = Settings(embedding=Embedding(text_model="no.such-model"))
    assert estimate("embedding-generation", settings, contentType="text", content="a") == 0


def test_what_is_on_record_is_not_estimated_again() -> None:
    request = {"s3Key": "k", "operations": {"detectLabels": True, "detectText": True}}
    left = PIPELINES["image-processing"].estimate(request, Settings(), done=["detectLabels"])
    assert left == Decimal("0.001")
