"""The price list, worked out by hand from the published rules."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from mediaq.errors import Refused
from mediaq.model import Tier
from mediaq.pipelines import image
from mediaq.pipelines.comprehend import READINGS
from mediaq.pipelines.price_list import PRICE_LISTS, prices_now, prices_on
from mediaq.pipelines.prices import Price
from mediaq.settings import Embedding

APRIL, SEPTEMBER = PRICE_LISTS


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
    charge = SEPTEMBER.charge(item, count)
    assert (charge.item, charge.units, charge.amount) == (item, Decimal(units), Decimal(amount))
    assert charge.price_version == "2026-09"


def test_units_are_plain_numbers_in_the_ledger() -> None:
    assert str(SEPTEMBER.charge("comprehend.detect-sentiment", 30_000).units) == "300"


@pytest.mark.parametrize("item", [price.item for price in SEPTEMBER.prices])
def test_a_call_that_was_not_needed_costs_nothing_not_even_the_minimum(item: str) -> None:
    nothing = SEPTEMBER.nothing(item)
    assert nothing.units == nothing.amount == 0
    assert nothing.unit == SEPTEMBER.charge(item, 1).unit


def test_an_unknown_item_has_no_price() -> None:
    with pytest.raises(Refused, match="nosuch"):
        SEPTEMBER.charge("nosuch", 1)


def test_each_item_has_one_price_a_list_with_a_source_and_its_date() -> None:
    for prices in PRICE_LISTS:
        items = [price.item for price in prices.prices]
        assert len(set(items)) == len(items)
        assert all(price.source and price.as_of <= date.today() for price in prices.prices)  # noqa: DTZ011


def test_versions_are_unique_and_follow_one_another() -> None:
    assert len({prices.version for prices in PRICE_LISTS}) == len(PRICE_LISTS)
    days = [prices.since for prices in PRICE_LISTS]
    assert days == sorted(set(days))


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "2026-04"),
        (datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC), "2026-04"),
        (datetime(2026, 9, 1, tzinfo=UTC), "2026-09"),
        # Two hours east of Greenwich, September begins while it is still August in UTC.
        (datetime(2026, 9, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-04"),
        (datetime(2100, 1, 1, tzinfo=UTC), PRICE_LISTS[-1].version),
    ],
)
def test_the_newest_list_that_has_begun_is_in_force(moment: datetime, version: str) -> None:
    assert prices_on(moment).version == version


def test_an_older_list_goes_on_pricing_as_it_did() -> None:
    """$0.024 a minute are $0.0004 a second, and a request was billed for 15 seconds at least."""
    assert [APRIL.charge("transcribe.batch", ms).amount for ms in (1, 15_000, 15_001, 60_000)] == [
        Decimal("0.006"),
        Decimal("0.006"),
        Decimal("0.0064"),
        Decimal("0.024"),
    ]


@pytest.mark.parametrize(
    ("item", "count", "before", "unit_price", "amount"),
    [
        # Rekognition: 1,000,000 images a month at $0.001, then 4,000,000 at $0.0008, then $0.0006.
        ("rekognition.image", 1, "999999", "0.001", "0.001"),
        ("rekognition.image", 1, "1000000", "0.0008", "0.0008"),
        ("rekognition.image", 1, "4999999", "0.0008", "0.0008"),
        ("rekognition.image", 1, "5000000", "0.0006", "0.0006"),
        # Comprehend: 5,000 characters are 50 units, 20 of them at $0.0001 and 30 at $0.00005.
        ("comprehend.detect-entities", 5000, "9999980", "0.0001", "0.0035"),
        ("comprehend.detect-entities", 5000, "10000000", "0.00005", "0.0025"),
        # 40,000,020 units from the first on: 10,000,000 dear ones, 30,000,020 cheaper ones.
        ("comprehend.detect-entities", 4_000_002_000, "0", "0.0001", "2500.001"),
        # 50,000,010 after 9,999,990: 10 at $0.0001, 40,000,000 at $0.00005, 10,000,000 at $0.000025.
        ("comprehend.detect-entities", 5_000_001_000, "9999990", "0.0001", "2250.001"),
        # Without tiers, what came before changes nothing.
        ("transcribe.batch", 61_000, "123456789", "0.0001", "0.0061"),
    ],
)
def test_units_beyond_a_months_volume_cost_less(
    item: str, count: int, before: str, unit_price: str, amount: str
) -> None:
    charge = SEPTEMBER.charge(item, count).after(Decimal(before))
    assert (charge.unit_price, charge.amount) == (Decimal(unit_price), Decimal(amount))


@pytest.mark.parametrize(
    "tiers",
    [
        ((0, "0.5"),),
        ((10, "1"),),
        ((10, "2"),),
        ((10, "0.5"), (10, "0.4")),
        ((10, "0.5"), (9, "0.4")),
        ((10, "0.5"), (20, "0.5")),
    ],
)
def test_tiers_that_do_not_grow_in_volume_and_fall_in_price_are_refused(
    tiers: tuple[tuple[int, str], ...],
) -> None:
    with pytest.raises(ValueError, match="the tiers of thing must"):
        Price(
            item="thing",
            unit="piece",
            unit_price=Decimal(1),
            source="nobody",
            as_of=date(2026, 1, 1),
            tiers=tuple(Tier(Decimal(above), Decimal(price)) for above, price in tiers),
        )


def test_what_images_and_texts_are_billed_by_has_a_price() -> None:
    billed = {image.PRICE, *(reading.item for reading in READINGS.values())}
    assert billed <= {price.item for price in prices_now().prices}


def test_the_configured_model_of_openai_has_a_price() -> None:
    assert prices_now().charge(f"openai.{Embedding().openai_model}.tokens", 1000).units == 1
