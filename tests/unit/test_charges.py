"""What holds of every charge, whatever its line of the price list: found by trying many."""

from datetime import date
from decimal import Decimal
from itertools import accumulate, pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mediaq.model import Charge, Tier
from mediaq.pipelines.prices import Price, PriceList

COUNTS = st.integers(0, 10**9)
UNITS = st.decimals(0, 10**8, places=9)
MONEY = st.integers(1, 10**6).map(lambda millionths: Decimal(millionths).scaleb(-6))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """A line of any shape: with and without a minimum, whole units and tiers."""
    falling = sorted(draw(st.lists(MONEY, min_size=1, max_size=4, unique=True)), reverse=True)
    growing = sorted(draw(st.sets(st.integers(1, 10**7), min_size=len(falling) - 1, max_size=4)))
    return Price(
        item="thing",
        unit="piece",
        unit_price=falling[0],
        source="nobody",
        as_of=date(2026, 1, 1),
        per=draw(st.sampled_from([1, 100, 1_000, 60_000])),
        whole=draw(st.booleans()),
        minimum=draw(st.integers(0, 20)),
        tiers=tuple(Tier(Decimal(above), price) for above, price in zip(growing, falling[1:], strict=False)),
    )


def charge(price: Price, count: int) -> Charge:
    return PriceList("test", date(2026, 1, 1), (price,)).charge("thing", count)


def charge_units(price: Price, units: Decimal) -> Charge:
    return PriceList("test", date(2026, 1, 1), (price,)).charge_units("thing", units)


def bill(price: Price, calls: list[Decimal]) -> Decimal:
    """What a month comes to whose calls have these units, each priced after those before it."""
    befores = accumulate(calls, initial=Decimal(0))
    return sum(
        (
            charge_units(price, units).after(before).amount
            for units, before in zip(calls, befores, strict=False)
        ),
        Decimal(0),
    )


@given(prices(), COUNTS)
def test_units_cover_what_was_counted_and_the_minimum(price: Price, count: int) -> None:
    units = price.units(count)
    assert units >= price.minimum
    # A billionth of a unit is what rounding may take.
    assert units * price.per >= count - Decimal(price.per).scaleb(-9)
    if price.whole:
        assert units == int(units)
        assert units * price.per < max(count, price.minimum * price.per) + price.per


@given(prices(), COUNTS, COUNTS, UNITS)
def test_more_is_never_cheaper(price: Price, one: int, other: int, before: Decimal) -> None:
    few, many = sorted((one, other))
    assert charge(price, few).after(before).amount <= charge(price, many).after(before).amount


@given(prices(), UNITS, UNITS, UNITS)
def test_later_is_never_dearer(price: Price, units: Decimal, one: Decimal, other: Decimal) -> None:
    soon, late = sorted((one, other))
    assert charge_units(price, units).after(late).amount <= charge_units(price, units).after(soon).amount


@given(prices(), UNITS, UNITS)
def test_a_call_costs_at_most_its_first_units_price_and_at_least_the_last_tiers(
    price: Price, units: Decimal, before: Decimal
) -> None:
    later = charge_units(price, units).after(before)
    cheapest = (price.tiers or (Tier(Decimal(0), price.unit_price),))[-1].unit_price
    assert units * cheapest <= later.amount <= units * later.unit_price <= units * price.unit_price


@given(prices(), st.lists(UNITS, max_size=8), st.randoms(use_true_random=False))
def test_a_months_bill_is_the_same_however_its_units_are_split_and_ordered(
    price: Price, calls: list[Decimal], random: Random
) -> None:
    shuffled = list(calls)
    random.shuffle(shuffled)
    assert bill(price, calls) == bill(price, shuffled) == bill(price, [sum(calls, Decimal(0))])


@given(prices(), UNITS)
def test_a_months_bill_is_each_tiers_share_at_its_price(price: Price, units: Decimal) -> None:
    borders = [Decimal(0), *(tier.above for tier in price.tiers), max(units, Decimal(10**9))]
    each = [price.unit_price, *(tier.unit_price for tier in price.tiers)]
    expected = sum(
        (min(max(units - start, Decimal(0)), end - start) * cost)
        for (start, end), cost in zip(pairwise(borders), each, strict=True)
    )
    assert charge_units(price, units).amount == expected


@given(prices(), UNITS, UNITS, UNITS)
def test_what_came_before_adds_up(price: Price, units: Decimal, one: Decimal, other: Decimal) -> None:
    whole = charge_units(price, units)
    assert whole.after(one).after(other) == whole.after(one + other)
    assert whole.after(Decimal(0)) == whole
