"""The rules of a price list: how units are counted, and what they cost; the figures are in `price_list`."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise

from attrs import Attribute, field, frozen

from mediaq.errors import Refused
from mediaq.model import Charge, Tier

# Units are kept to nine decimals, so that a part of a minute is a finite number in the ledger.
GRAIN = Decimal("1e-9")


@frozen(kw_only=True)
class Price:
    """One line of a price list, in US dollars, for us-east-1.

    Args:
        item: What is sold.
        unit: The unit it is sold in.
        unit_price: Price of one unit.
        source: Who says so.
        as_of: When they said so.
        per: How many of what is counted (characters, seconds, tokens, milliseconds) make a unit.
        whole: Whether a begun unit is billed as a whole one.
        minimum: Units billed for a call at least.
        tiers: What the units beyond some volume of a month cost, from the smallest volume to the largest. AWS
            counts the volume of an account in a region: where others use the account too, a call may cost
            less than is priced here, never more.
    """

    item: str
    unit: str
    unit_price: Decimal
    source: str
    as_of: date
    per: int = 1
    whole: bool = False
    minimum: int = 0
    tiers: tuple[Tier, ...] = field(default=())

    @tiers.validator
    def _falling(self, _: Attribute[tuple[Tier, ...]], tiers: tuple[Tier, ...]) -> None:
        # That the first tier is the dearest is what makes an estimate an upper bound.
        for lower, higher in pairwise((Tier(Decimal(0), self.unit_price), *tiers)):
            if not (lower.above < higher.above and lower.unit_price > higher.unit_price):
                raise ValueError(f"the tiers of {self.item} must grow in volume and fall in price")

    def units(self, count: int) -> Decimal:
        """Returns the billed units of so many characters, seconds, tokens or milliseconds."""
        units = Decimal(-(-count // self.per)) if self.whole else Decimal(count) / self.per
        return max(units, Decimal(self.minimum)).quantize(GRAIN, ROUND_HALF_EVEN).normalize() + 0


@frozen
class PriceList:
    """All prices of one version.

    Args:
        version: Its name in the ledger.
        since: The first day (UTC) on which it is in force.
        prices: Its lines.
    """

    version: str
    since: date
    prices: tuple[Price, ...]

    def charge(self, item: str, count: int) -> Charge:
        """Prices one call.

        Args:
            item: A line of this list.
            count: Characters, seconds, tokens, milliseconds or images, as the line counts them.

        Raises:
            Refused: The list has no such line.
        """
        return self.charge_units(item, self._price(item).units(count))

    def nothing(self, item: str) -> Charge:
        """Returns the charge for a call that was not needed: no units, whatever the minimum of a call is."""
        return self.charge_units(item, Decimal(0))

    def charge_units(self, item: str, units: Decimal) -> Charge:
        """Prices units that have been counted already.

        Raises:
            Refused: The list has no such line.
        """
        price = self._price(item)
        return Charge(item, units, price.unit, price.unit_price, self.version, price.tiers)

    def _price(self, item: str) -> Price:
        for price in self.prices:
            if price.item == item:
                return price
        raise Refused(
            f"the price list {self.version} has no line {item}: nothing unpriced is called", "NoPrice"
        )
