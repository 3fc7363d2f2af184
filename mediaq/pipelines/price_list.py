"""The price lists by version, each line with its source and date, and which of them is in force."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from mediaq.model import Tier
from mediaq.pipelines.comprehend import LEAST_UNITS, UNIT_CHARACTERS
from mediaq.pipelines.prices import Price, PriceList

REKOGNITION = "aws.amazon.com/rekognition/pricing"
TRANSCRIBE = "aws.amazon.com/transcribe/pricing"
COMPREHEND = "aws.amazon.com/comprehend/pricing"
BEDROCK = "aws.amazon.com/bedrock/pricing"
OPENAI = "openai.com/api/pricing"
SEPTEMBER = date(2026, 9, 1)


def _comprehend(operation: str) -> Price:
    # AWS quotes beyond 100 million units on request only: they are priced like those before.
    return Price(
        item=f"comprehend.{operation}",
        unit=f"{UNIT_CHARACTERS} characters",
        unit_price=Decimal("0.0001"),
        source=f"{COMPREHEND}; tiers as guides to AWS's costs quote them",
        as_of=date(2026, 9, 20),
        per=UNIT_CHARACTERS,
        whole=True,
        minimum=LEAST_UNITS,
        tiers=(
            Tier(Decimal(10_000_000), Decimal("0.00005")),
            Tier(Decimal(50_000_000), Decimal("0.000025")),
        ),
    )


def _tokens(model: str, unit_price: str, source: str) -> Price:
    return Price(
        item=f"{model}.tokens",
        unit="1K tokens",
        unit_price=Decimal(unit_price),
        source=source,
        as_of=SEPTEMBER,
        per=1_000,
    )


# What stands in every list so far: an earlier price of these is not known here, as their dates say.
_LASTING = (
    # The images of all operations of Rekognition's second group, to which ours belong, count together. What
    # images beyond 35 million cost is not confirmed: they are priced like those before.
    Price(
        item="rekognition.image",
        unit="image",
        unit_price=Decimal("0.001"),
        source=f"{REKOGNITION} and its examples; the second volume as guides to AWS's costs quote it",
        as_of=date(2026, 10, 7),
        tiers=(
            Tier(Decimal(1_000_000), Decimal("0.0008")),
            Tier(Decimal(5_000_000), Decimal("0.0006")),
        ),
    ),
    Price(
        item="rekognition.video.labels",
        unit="minute",
        unit_price=Decimal("0.10"),
        source=REKOGNITION,
        as_of=SEPTEMBER,
        per=60_000,
    ),
    _comprehend("detect-sentiment"),
    _comprehend("detect-entities"),
    _comprehend("detect-key-phrases"),
    _comprehend("detect-dominant-language"),
    _tokens("bedrock.titan-embed-text-v2", "0.00002", BEDROCK),
    Price(
        item="bedrock.titan-embed-image-v1.images",
        unit="image",
        unit_price=Decimal("0.00006"),
        source=BEDROCK,
        as_of=SEPTEMBER,
    ),
    _tokens("bedrock.titan-embed-image-v1", "0.0008", BEDROCK),
    _tokens("bedrock.cohere-embed-english-v3", "0.0001", BEDROCK),
    _tokens("bedrock.cohere-embed-multilingual-v3", "0.0001", BEDROCK),
    _tokens("openai.text-embedding-3-small", "0.00002", OPENAI),
    _tokens("openai.text-embedding-3-large", "0.00013", OPENAI),
)

# From the oldest to the newest. A price that changes is a list of its own, never an edit of an older one: the
# ledger names the version that each call was priced by.
PRICE_LISTS = (
    PriceList(
        "2026-04",
        date(2026, 4, 15),
        (
            *_LASTING,
            # $0.024 a minute, 15 s a request at least. What was off for large volumes is not known here:
            # without it this is an upper bound.
            Price(
                item="transcribe.batch",
                unit="second",
                unit_price=Decimal("0.0004"),
                source=f"{TRANSCRIBE}, as it was before 2026-09",
                as_of=date(2026, 4, 15),
                per=1_000,
                whole=True,
                minimum=15,
            ),
        ),
    ),
    PriceList(
        "2026-09",
        SEPTEMBER,
        (
            *_LASTING,
            Price(
                item="transcribe.batch",
                unit="second",
                unit_price=Decimal("0.0001"),
                source=TRANSCRIBE,
                as_of=SEPTEMBER,
                per=1_000,
                whole=True,
            ),
        ),
    ),
)


def prices_on(moment: datetime) -> PriceList:
    """Returns the price list in force at a moment; the oldest one for what was before it."""
    day = moment.astimezone(UTC).date()
    in_force = [prices for prices in PRICE_LISTS if prices.since <= day]
    return in_force[-1] if in_force else PRICE_LISTS[0]


def prices_now() -> PriceList:
    """Returns the price list in force."""
    return prices_on(datetime.now(UTC))
