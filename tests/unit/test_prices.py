"""The price list, worked out by hand from the published rules."""

import inspect
from decimal import Decimal

import pytest

from mediaq.errors import Refused
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.operation import Call
from mediaq.pipelines.prices import PRICES
from mediaq.settings import Embedding


@pytest.mark.parametrize(
    ("item", "count", "units", "amount"),
    [
        # Comprehend: units of 100 characters, begun ones in full, 3 a request at least, $0.0001 each.
        ("comprehend.detect-sentiment", 1, "3", "0.0003"),
        ("comprehend.detect-entities", 300, "3", "0.0003"),
        ("comprehend.detect-key-phrases", 301, "4", "0.0004"),
        ("comprehend.detect-dominant-language", 5000, "50", "0.0050"),
        # Rekognition: $0.001 an image.
        ("rekognition.image", 1, "1", "0.001"),
        # Rekognition video: $0.10 a minute; 90,000 ms / 60,000 = 1.5.
        ("rekognition.video.labels", 90_000, "1.5", "0.150"),
        # 1 ms / 60,000 = 0.0000166666..., kept to nine decimals.
        ("rekognition.video.labels", 1, "0.000016667", "0.0000016667"),
        # 100,001 ms / 60,000 = 1.66668333333...
        ("rekognition.video.labels", 100_001, "1.666683333", "0.1666683333"),
        # Six hours, the longest video: 21,600,000 ms / 60,000 = 360.
        ("rekognition.video.labels", 21_600_000, "360", "36.00"),
        # Transcribe: $0.0001 a second, begun ones in full, no minimum.
        ("transcribe.batch", 1, "1", "0.0001"),
        ("transcribe.batch", 61_000, "61", "0.0061"),
        ("transcribe.batch", 61_001, "62", "0.0062"),
        # Titan Text V2: $0.00002 per 1,000 tokens; 12 / 1,000 = 0.012.
        ("bedrock.titan-embed-text-v2.tokens", 12, "0.012", "0.00000024"),
        # 8.192 x 0.00002
        ("bedrock.titan-embed-text-v2.tokens", 8192, "8.192", "0.00016384"),
        # Titan Multimodal: $0.00006 an image.
        ("bedrock.titan-embed-image-v1.images", 1, "1", "0.00006"),
        # OpenAI 3-small and 3-large: $0.00002 and $0.00013 per 1,000 tokens.
        ("openai.text-embedding-3-small.tokens", 1500, "1.5", "0.00003"),
        ("openai.text-embedding-3-large.tokens", 1, "0.001", "0.00000013"),
    ],
)
def test_a_call_costs_what_the_rules_say(item: str, count: int, units: str, amount: str) -> None:
    charge = PRICES.charge(item, count)
    assert (charge.item, charge.units, charge.amount) == (item, Decimal(units), Decimal(amount))
    assert charge.price_version == PRICES.version


def test_units_are_plain_numbers_in_the_ledger() -> None:
    assert str(PRICES.charge("comprehend.detect-sentiment", 30_000).units) == "300"


@pytest.mark.parametrize("item", [price.item for price in PRICES.prices])
def test_a_call_that_was_not_needed_costs_nothing_not_even_the_minimum(item: str) -> None:
    nothing = PRICES.nothing(item)
    assert nothing.units == nothing.amount == 0
    assert nothing.unit == PRICES.charge(item, 1).unit


def test_an_unknown_item_has_no_price() -> None:
    with pytest.raises(Refused, match="nosuch"):
        PRICES.charge("nosuch", 1)


def test_each_item_has_one_price_with_a_source_and_its_date() -> None:
    items = [price.item for price in PRICES.prices]
    assert len(set(items)) == len(items)
    assert all(price.source.endswith(f", {PRICES.version}") for price in PRICES.prices)


def billed_items() -> list[str]:
    """What the operations of the catalogue charge for."""
    performs = [operation.perform for pipeline in PIPELINES.values() for operation in pipeline.operations]
    calls = [inspect.getclosurevars(perform).nonlocals.get("call") for perform in performs]
    return [call.item for call in calls if isinstance(call, Call)]


def test_every_call_of_the_catalogue_has_a_price() -> None:
    items = billed_items()
    # Four looks at an image and four readings of a text; films and embeddings make calls of their own.
    assert len(items) == 8
    assert set(items) <= {price.item for price in PRICES.prices}


def test_the_configured_model_of_openai_has_a_price() -> None:
    assert PRICES.charge(f"openai.{Embedding().openai_model}.tokens", 1000).units == 1
