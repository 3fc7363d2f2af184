"""The price list: what one unit of each item costs, by whose word and since when."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from attrs import frozen

from mediaq.errors import Refused
from mediaq.model import Charge

# Units are kept to nine decimals, so that a part of a minute is a finite number in the ledger.
GRAIN = Decimal("1e-9")


@frozen
class Price:
    """One line of the price list, in US dollars, for us-east-1.

    Args:
        item: What is sold.
        unit: The unit it is sold in.
        unit_price: Price of one unit.
        per: How many of what is counted (characters, seconds, tokens, milliseconds) make a unit.
        whole: Whether a begun unit is billed as a whole one.
        minimum: Units billed for a call at least.
        source: Who says so, and as of when.
    """

    item: str
    unit: str
    unit_price: Decimal
    source: str
    per: int = 1
    whole: bool = False
    minimum: int = 0

    def units(self, count: int) -> Decimal:
        """Returns the billed units of so many characters, seconds, tokens or milliseconds."""
        units = Decimal(-(-count // self.per)) if self.whole else Decimal(count) / self.per
        return max(units, Decimal(self.minimum)).quantize(GRAIN, ROUND_HALF_EVEN).normalize() + 0


@frozen
class PriceList:
    """All prices of one version."""

    version: str
    prices: tuple[Price, ...]

    def charge(self, item: str, count: int) -> Charge:
        """Prices one call.

        Args:
            item: A line of this list.
            count: Characters, seconds, tokens, milliseconds or images, as the line counts them.

        Raises:
            Refused: The list has no such line.
        """
        price = self._price(item)
        return Charge(item, price.units(count), price.unit, price.unit_price, self.version)

    def nothing(self, item: str) -> Charge:
        """Returns the charge for a call that was not needed: no units, whatever the minimum of a call is."""
        price = self._price(item)
        return Charge(item, Decimal(0), price.unit, price.unit_price, self.version)

    def _price(self, item: str) -> Price:
        for price in self.prices:
            if price.item == item:
                return price
        raise Refused(
            f"the price list {self.version} has no line {item}: nothing unpriced is called", "NoPrice"
        )


REKOGNITION = "Amazon Rekognition pricing, 2026-09"
TRANSCRIBE = "Amazon Transcribe price list, 2026-09"
COMPREHEND = "Amazon Comprehend pricing, 2026-09"
BEDROCK = "Amazon Bedrock pricing, 2026-09"
OPENAI = "OpenAI API pricing, 2026-09"


def _comprehend(operation: str) -> Price:
    # A unit is 100 characters, and a request is billed for 3 units at least.
    return Price(
        f"comprehend.{operation}",
        "100 characters",
        Decimal("0.0001"),
        COMPREHEND,
        per=100,
        whole=True,
        minimum=3,
    )


PRICES = PriceList(
    "2026-09",
    (
        Price("rekognition.image", "image", Decimal("0.001"), REKOGNITION),
        Price("rekognition.video.labels", "minute", Decimal("0.10"), REKOGNITION, per=60_000),
        Price("transcribe.batch", "second", Decimal("0.0001"), TRANSCRIBE, per=1_000, whole=True),
        _comprehend("detect-sentiment"),
        _comprehend("detect-entities"),
        _comprehend("detect-key-phrases"),
        _comprehend("detect-dominant-language"),
        Price("bedrock.titan-embed-text-v2.tokens", "1K tokens", Decimal("0.00002"), BEDROCK, per=1_000),
        Price("bedrock.titan-embed-image-v1.images", "image", Decimal("0.00006"), BEDROCK),
        Price("openai.text-embedding-3-small.tokens", "1K tokens", Decimal("0.00002"), OPENAI, per=1_000),
        Price("openai.text-embedding-3-large.tokens", "1K tokens", Decimal("0.00013"), OPENAI, per=1_000),
    ),
)
