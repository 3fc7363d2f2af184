"""The REST route of the cost ledger: its sums, its rows page by page, and both as CSV."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from attrs import frozen
from msgspec import Meta, field
from starlette.responses import Response

from mediaq.pipelines.requests import Name
from mediaq.service.answers import answer, millis
from mediaq.service.csv import answer_csv
from mediaq.service.cursor import read_cursor, write_cursor
from mediaq.service.endpoint import Call
from mediaq.service.ownership import whose
from mediaq.service.periods import ISO, read_period
from mediaq.service.problems import invalid
from mediaq.store import costs
from mediaq.store.borrowed import borrow
from mediaq.store.costs import Chosen, Place
from mediaq.store.writer import Row

# Rows that one answer has, unless told, and at most; a table has them all, read as many at a time.
ROWS, MOST_ROWS = 100, 1000
# A row's id, as a 64-bit integer has it.
ROW_ID = re.compile("[0-9]{1,18}")
# Sums that one answer has at most; what has more should be asked for in parts.
MOST_GROUPS = 10_000
# What costs may be summed by, with its column in the store.
KEYS = {
    "service": "service",
    "operation": "operation",
    "day": "day",
    "month": "month",
    "costCenter": "cost_center",
    "user": "user_id",
}
SUMS = {"calls": "calls", "reused": "reused", "billed": "billed", "possibly_billed": "possiblyBilled"}
COLUMNS = {
    "id": "id",
    "created_at": "createdAt",
    "user_id": "userId",
    "cost_center": "costCenter",
    "media_item_id": "mediaItemId",
    "job_id": "jobId",
    "service": "service",
    "operation": "operation",
    "item": "item",
    "units": "units",
    "unit": "unit",
    "unit_price": "unitPrice",
    "price_version": "priceVersion",
    "amount": "amount",
    "certainty": "certainty",
}


def _written(pattern: str, *examples: str) -> Meta:
    # It is read further on, where what is wrong is told better than by a pattern.
    described = {"pattern": f"^{pattern}$"}
    return Meta(min_length=1, max_length=200, examples=[*examples], extra_json_schema=described)


_KEY = f"({'|'.join(KEYS)})"
Moment = Annotated[str, _written(ISO.pattern, "2026-11-01", "2026-11-01T12:00:00Z")]
GroupBy = Annotated[str, _written(f"{_KEY}(,{_KEY}){{0,{len(KEYS) - 1}}}", "service,day")]


class CostsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What costs are asked for by.

    Args:
        since: `from`, the first moment: a date or time of ISO 8601; without it, the start of the month (UTC).
        to: The moment after the last; without it, now.
        group_by: What they are summed by, names with commas: service, operation, day, month, costCenter,
            user; the sums come in the order of these. Without it the rows themselves are shown.
        user_id: Whose; for admins, who see everybody's otherwise.
        cost_center: Only this cost center's.
        operation: Only this operation's.
        service: Only this service's.
        job_id: Only this job's.
        media_item_id: Only this media item's.
        limit: How many rows the answer has at most.
        cursor: The `nextCursor` of the answer before.
        format: `json` or `csv`; without it, as the Accept header says.
    """

    since: Moment | None = field(default=None, name="from")
    to: Moment | None = None
    group_by: GroupBy | None = None
    user_id: Name | None = None
    cost_center: Name | None = None
    operation: Name | None = None
    service: Name | None = None
    job_id: Name | None = None
    media_item_id: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] | None = None
    cursor: str | None = None
    format: Literal["json", "csv"] | None = None


@frozen
class Asked:
    """A query that was checked.

    Args:
        chosen: The rows that it is about.
        keys: What they are summed by, as callers name it; none: the rows are wanted.
        after: The row after which to go on.
        as_csv: Whether the answer is a table.
    """

    chosen: Chosen
    keys: tuple[str, ...]
    after: Place | None
    as_csv: bool

    @property
    def columns(self) -> list[str]:
        """What they are summed by, as the store names it."""
        return [KEYS[key] for key in self.keys]

    @property
    def file_name(self) -> str:
        """What a table of it is saved as."""
        days = (self.chosen.since.date(), (self.chosen.until - timedelta(microseconds=1)).date())
        return f"costs-{days[0]}-{days[1]}.csv"


async def get_costs(call: Call) -> Response:
    """Sums the caller's costs, or shows them row by row; to admins, everybody's."""
    asked = _check(call)
    if asked.keys:
        return await _answer_sums(call, asked)
    return await (_answer_table(call, asked) if asked.as_csv else _answer_rows(call, asked))


async def _answer_sums(call: Call, asked: Asked) -> Response:
    async with borrow(call.resources.store.pool, _seconds(call)) as connection:
        found = await costs.sums(connection, asked.chosen, asked.columns, most=MOST_GROUPS + 1)
    if len(found) > MOST_GROUPS:
        why = f"there are over {MOST_GROUPS} sums; ask for a shorter time or fewer names"
        raise invalid("groupBy", why)
    if "month" in asked.keys:
        found = [row | {"month": f"{row['month']:%Y-%m}"} for row in found]
    names = {KEYS[key]: key for key in asked.keys} | SUMS
    if asked.as_csv:
        return answer_csv(names, _once(found), asked.file_name)
    total = {shown: sum(row[name] for row in found) for name, shown in SUMS.items()}
    return answer(_show(asked, total=total, groups=[_named(row, names) for row in found]))


async def _answer_rows(call: Call, asked: Asked) -> Response:
    limit = call.query.limit or ROWS
    async with (
        borrow(call.resources.store.pool, _seconds(call)) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await costs.rows(connection, asked.chosen, asked.after, most=limit + 1)
        # With the first page alone: who reads many pages need not wait for the sum of all each time.
        [total] = [None] if asked.after else await costs.sums(connection, asked.chosen)
    rows = [_named(row, COLUMNS) | {"createdAt": millis(row["created_at"])} for row in found[:limit]]
    cursor = _cursor(call, found[limit - 1]) if len(found) > limit else None
    shown = None if total is None else _named(total, SUMS)
    return answer(_show(asked, total=shown, rows=rows, next_cursor=cursor))


async def _answer_table(call: Call, asked: Asked) -> Response:
    # Page by page, not by a cursor of Postgres: a slow reader holds neither connection nor transaction.
    async def read(after: Place | None) -> list[Row]:
        return await costs.page(
            call.resources.store, asked.chosen, after, most=MOST_ROWS, seconds=_seconds(call)
        )

    async def pages(page: list[Row]) -> AsyncIterator[list[Row]]:
        while page:
            yield page
            page = await read(Place.of(page[-1])) if len(page) == MOST_ROWS else []

    # Read before the answer begins, which can then still be another one.
    first = await read(None)
    return answer_csv(COLUMNS, pages(first), asked.file_name)


def _check(call: Call) -> Asked:
    query: CostsQuery = call.query
    since, until = read_period(query.since, query.to, datetime.now(UTC))
    keys = _read_keys(query.group_by)
    as_csv = query.format == "csv" or (query.format is None and _accepts_csv(call))
    for name, value in (("limit", query.limit), ("cursor", query.cursor)):
        if value is not None and (keys or as_csv):
            raise invalid(name, "it is for rows in JSON; sums and tables are shown whole")
    after = None if query.cursor is None else _read_cursor(call, query.cursor)
    return Asked(Chosen(since, until, _read_filters(call)), keys, after, as_csv)


def _accepts_csv(call: Call) -> bool:
    return "text/csv" in call.request.headers.get("Accept", "").lower()


def _read_keys(text: str | None) -> tuple[str, ...]:
    names = text.split(",") if text is not None else []
    for name in names:
        if name not in KEYS:
            raise invalid("groupBy", f"{name!r} is none of {', '.join(KEYS)}")
    # In one order, so that the same names in another make no other query.
    return tuple(key for key in KEYS if key in names)


def _read_filters(call: Call) -> dict[str, str]:
    query, caller = call.query, call.caller
    given = {name: getattr(query, name) for name in costs.FILTERS} | {"user_id": whose(caller, query.user_id)}
    return {name: value for name, value in given.items() if value is not None}


def _cursor(call: Call, row: Row) -> str:
    return write_cursor("costs", row["created_at"], str(row["id"]), _secret(call))


def _read_cursor(call: Call, text: str) -> Place:
    created_at, row_id = read_cursor("costs", text, _secret(call), ROW_ID)
    return Place(created_at, int(row_id))


def _secret(call: Call) -> str:
    return str(call.resources.settings.auth.secret)


def _show(asked: Asked, **found: Any) -> dict[str, Any]:
    return {
        "from": millis(asked.chosen.since),
        "to": millis(asked.chosen.until),
        "total": found["total"],
        "groups": found.get("groups", []),
        "rows": found.get("rows", []),
        "nextCursor": found.get("next_cursor"),
    }


def _named(row: Row, names: dict[str, str]) -> dict[str, Any]:
    return {shown: row[name] for name, shown in names.items()}


async def _once(rows: list[Row]) -> AsyncIterator[list[Row]]:
    yield rows


def _seconds(call: Call) -> float:
    return call.resources.settings.database.timeout
