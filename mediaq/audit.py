"""Compares the ledger with a provider's own list of billed calls, call by call: data in, verdicts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec
from attrs import evolve, frozen

from mediaq.errors import Refused
from mediaq.model import Certainty
from mediaq.pipelines.price_list import prices_on
from mediaq.pipelines.prices import GRAIN

K = TypeVar("K")
V = TypeVar("V")
# What providers call our operations, where it is not our name with a capital.
OURS = {
    "CreateEmbedding": "generateEmbedding",
    "DetectDominantLanguage": "detectLanguage",
    "InvokeModel": "generateEmbedding",
    "StartLabelDetection": "detectLabels",
    "StartTranscriptionJob": "transcribe",
}


class Verdict(IntEnum):
    """What the ledger is worth, from the best to the worst."""

    EXACT = 0
    WITHIN = 1
    UNFOUNDED = 2
    UNDER = 3

    def __str__(self) -> str:
        return ("exact", "within possibly billed", "billed without truth", "UNDER")[self]

    @property
    def holds(self) -> bool:
        """Whether the ledger says what was billed, or with what is possibly billed at least as much."""
        return self <= Verdict.WITHIN


@frozen(kw_only=True)
class Entry:
    """A cost row of the ledger.

    Args:
        id: Its number.
        job_id: The job that the call was made for.
        operation: Our name of the operation.
        item: The line of the price list.
        units: What is billed of it, or what may be at most.
        amount: US dollars.
        certainty: Billed or possibly billed.
        names: What the provider knows the call by (request id, its own job's id, token), as far as known.
    """

    id: int
    job_id: str
    operation: str
    item: str
    units: Decimal
    amount: Decimal
    certainty: Certainty
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Entry:
        """Reads a cost row as `store/sql/costs.sql` gives it, whatever further columns it has."""
        return cls(
            id=row["id"],
            job_id=row["job_id"],
            operation=row["operation"],
            item=row["item"],
            units=row["units"],
            amount=row["amount"],
            certainty=Certainty(row["certainty"]),
            names=_names(row["request_id"], row["provider_id"], row["token"]),
        )

    @property
    def billed(self) -> bool:
        """Whether the call is known to be billed."""
        return self.certainty is Certainty.BILLED


@frozen(kw_only=True)
class Call:
    """A call that the provider bills.

    Args:
        id: Its number in the provider's list.
        operation: Our name of the operation.
        item: The line of the price list.
        units: What is billed of it.
        at: When it was billed.
        resource: What was analysed.
        names: What the provider knows the call by.
        amount: US dollars, by the price list.
    """

    id: str
    operation: str
    item: str
    units: Decimal
    at: datetime
    resource: str
    names: frozenset[str]
    amount: Decimal = Decimal(0)


@frozen(kw_only=True)
class ListedCall:
    """A line of the stand-in's own list, as far as it matters here."""

    id: str
    operation: str
    item: str
    units: Decimal
    at: datetime
    resource: str
    request_id: str | None = None
    job: str | None = None
    request_token: str | None = None


@frozen
class Listed:
    """What `GET /_standin/calls?billed=true` answers."""

    calls: list[ListedCall]


def read_calls(answer: bytes) -> list[Call]:
    """Reads the calls that the stand-in would have billed.

    Args:
        answer: What `GET /_standin/calls?billed=true` answers.

    Raises:
        msgspec.DecodeError: It is no such list.
    """
    return [
        Call(
            id=line.id,
            operation=our_name(line.operation),
            item=line.item,
            units=line.units,
            at=line.at,
            resource=line.resource,
            names=_names(line.request_id, line.job, line.request_token),
        )
        for line in msgspec.json.decode(answer, type=Listed).calls
    ]


def _names(*names: str | None) -> frozenset[str]:
    return frozenset(name for name in names if name)


@frozen
class Pair:
    """A cost row with the call that it stands for; without one where there is none."""

    entry: Entry | None
    call: Call | None

    @property
    def of(self) -> tuple[str, str]:
        """The item and the operation."""
        row = self.entry or self.call
        if row is None:
            raise AssertionError("a pair has a cost row or a call")
        return row.item, row.operation

    @property
    def verdict(self) -> Verdict:
        """What this row is worth."""
        entry, call = self.entry, self.call
        if entry is None:
            return Verdict.UNDER
        if call is not None and entry.units < call.units:
            return Verdict.UNDER
        if not entry.billed:
            return Verdict.WITHIN
        return Verdict.EXACT if call is not None and entry.units == call.units else Verdict.UNFOUNDED

    def __str__(self) -> str:
        entry, call = self.entry, self.call
        item, operation = self.of
        billed = f"{call.units:f} units of {item} billed at {call.at:%Y-%m-%d %H:%M:%S}" if call else ""
        about = f"{call.resource}, {' '.join(sorted(call.names))}" if call else ""
        if entry is None:
            return f"{operation}: no cost row for {billed} ({about})"
        row = f"{operation}: cost row {entry.id} of job {entry.job_id}"
        if call is None:
            return f"{row} stands for no call of {item} ({' '.join(sorted(entry.names)) or 'no id'})"
        return f"{row} has {entry.units:f} units for {billed} ({about})"


@frozen
class Sum:
    """So many calls, with their units and US dollars."""

    calls: int = 0
    units: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)

    @classmethod
    def of(cls, rows: Iterable[Entry | Call]) -> Sum:
        """Adds rows up."""
        known = list(rows)
        return cls(
            len(known),
            sum((row.units for row in known), Decimal(0)),
            sum((row.amount for row in known), Decimal(0)),
        )


@frozen
class Amounts:
    """What an item's exact rows come to; of its sum, as calls of any operation reach a volume's lower price.

    Args:
        item: The line of the price list.
        ledger: US dollars in the ledger.
        truth: US dollars for the calls that the rows stand for.
    """

    item: str
    ledger: Decimal
    truth: Decimal

    @property
    def verdict(self) -> Verdict:
        """What the ledger's prices are worth."""
        if self.ledger == self.truth:
            return Verdict.EXACT
        return Verdict.UNDER if self.ledger < self.truth else Verdict.UNFOUNDED

    def __str__(self) -> str:
        return f"{self.item}: the ledger has ${self.ledger:f} for calls that cost ${self.truth:f}"


@frozen
class Line:
    """One operation's calls of one item.

    Args:
        item: The line of the price list.
        operation: Our name of the operation.
        truth: What the provider bills.
        billed: What the ledger says is billed.
        possible: What the ledger says may be billed.
        verdict: The worst of its rows'.
    """

    item: str
    operation: str
    truth: Sum
    billed: Sum
    possible: Sum
    verdict: Verdict


@frozen
class Audit:
    """The comparison.

    Args:
        lines: By item and operation.
        faults: What is wrong, a sentence each.
    """

    lines: Sequence[Line]
    faults: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """The worst of all lines."""
        return max((line.verdict for line in self.lines), default=Verdict.EXACT)


def our_name(operation: str) -> str:
    """Returns our name of a provider's operation."""
    return OURS.get(operation) or operation[:1].lower() + operation[1:]


def compare(entries: Iterable[Entry], calls: Iterable[Call]) -> Audit:
    """Compares cost rows with what the provider bills.

    A row that knows a name of its call stands for that call alone. The others are told apart by operation,
    item and units only; a possibly billed one covers any call that it is not smaller than.

    Args:
        entries: Rows that are billed or possibly billed; what was reused is no call.
        calls: The provider's calls, all of those that the rows may stand for.
    """
    pairs = sorted(_pairs(list(entries), list(_priced(calls))), key=lambda pair: pair.verdict, reverse=True)
    amounts = {
        item: _amounts(item, group) for item, group in _grouped(pairs, lambda pair: pair.of[0]).items()
    }
    lines = [_line(*of, group, amounts[of[0]]) for of, group in _grouped(pairs, lambda pair: pair.of).items()]
    return Audit(
        lines=sorted(lines, key=lambda line: (line.item, line.operation)),
        faults=[
            *(str(pair) for pair in pairs if not pair.verdict.holds),
            *(str(sums) for sums in amounts.values() if not sums.verdict.holds),
        ],
    )


def _line(item: str, operation: str, pairs: Sequence[Pair], amounts: Amounts) -> Line:
    entries = [pair.entry for pair in pairs if pair.entry]
    return Line(
        item,
        operation,
        truth=Sum.of(pair.call for pair in pairs if pair.call),
        billed=Sum.of(entry for entry in entries if entry.billed),
        possible=Sum.of(entry for entry in entries if not entry.billed),
        verdict=max(amounts.verdict, *(pair.verdict for pair in pairs)),
    )


def _amounts(item: str, pairs: Sequence[Pair]) -> Amounts:
    exact = [pair for pair in pairs if pair.verdict is Verdict.EXACT]
    return Amounts(
        item,
        ledger=Sum.of(pair.entry for pair in exact if pair.entry).amount,
        truth=Sum.of(pair.call for pair in exact if pair.call).amount,
    )


def _priced(calls: Iterable[Call]) -> Iterator[Call]:
    """Prices calls in their order, as a month's units add up; what has no price costs nothing here."""
    used: defaultdict[tuple[str, int, int], Decimal] = defaultdict(Decimal)
    for call in sorted(calls, key=lambda call: call.at):
        units = call.units.quantize(GRAIN).normalize() + 0
        moment = call.at.astimezone(UTC)
        month = call.item, moment.year, moment.month
        try:
            charge = prices_on(moment).charge_units(call.item, units).after(used[month])
        except Refused:
            yield evolve(call, units=units)
            continue
        used[month] += units
        yield evolve(call, units=units, amount=charge.amount)


def _pairs(entries: Sequence[Entry], calls: Sequence[Call]) -> Iterator[Pair]:
    """Gives each row and each call a place in one pair."""
    left = {call.id: call for call in calls}
    named = {(call.item, name): call.id for call in calls for name in call.names}
    for entry in sorted((entry for entry in entries if entry.names), key=lambda entry: not entry.billed):
        ids = {named.get((entry.item, name)) for name in entry.names}
        found = [id_ for id_ in ids if id_ in left]
        yield Pair(entry, left.pop(found[0]) if found else None)
    nameless = _grouped((entry for entry in entries if not entry.names), _kind)
    unclaimed = _grouped(left.values(), _kind)
    for kind in {**nameless, **unclaimed}:
        yield from _pairs_by_size(nameless.get(kind, []), unclaimed.get(kind, []))


def _pairs_by_size(entries: Sequence[Entry], calls: Sequence[Call]) -> Iterator[Pair]:
    """Pairs rows of one kind: billed ones with calls of the same size, then the others with what is left."""
    left = _grouped(calls, lambda call: call.units)
    others = []
    for entry in sorted(entries, key=lambda entry: (entry.billed, entry.units), reverse=True):
        if entry.billed and left.get(entry.units):
            yield Pair(entry, left[entry.units].pop())
        else:
            others.append(entry)
    # The largest with the largest: where possibly billed rows can cover what is left, these do.
    others.sort(key=lambda entry: (not entry.billed, entry.units), reverse=True)
    unpaired = [call for units in sorted(left, reverse=True) for call in left[units]]
    yield from (Pair(*pair) for pair in zip_longest(others, unpaired))


def _kind(row: Entry | Call) -> tuple[str, str]:
    return row.item, row.operation


def _grouped(values: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups
