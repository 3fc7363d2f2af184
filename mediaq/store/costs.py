"""The cost ledger: its rows, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiosql
from attrs import frozen

from mediaq.store.borrowed import Connection, borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row

LEDGER = Path(__file__).parent / "ledger.sql"
# What rows may be summed by; days and months are those of UTC, a month by its first day.
KEYS = {
    "service": "service",
    "operation": "operation",
    "day": "(created_at at time zone 'utc')::date",
    "month": "date_trunc('month', created_at at time zone 'utc')::date",
    "cost_center": "cost_center",
    "user_id": "user_id",
}
# Columns that rows may be chosen by.
FILTERS = ("user_id", "cost_center", "operation", "service", "job_id", "media_item_id")
# Combinations of both whose queries are kept; of the thousands that there are, few are asked for.
COMBINATIONS = 100


@frozen(order=True)
class Place:
    """A row's place in the ledger."""

    created_at: datetime
    id: int

    @classmethod
    def of(cls, row: Row) -> Place:
        """Returns the place of a row."""
        return cls(row["created_at"], row["id"])


@frozen
class Chosen:
    """Which rows of the ledger are meant.

    Args:
        since: The first moment.
        until: The moment after the last.
        only: What columns of FILTERS must be.
    """

    since: datetime
    until: datetime
    only: Mapping[str, str]


async def entries(store: Store) -> list[Row]:
    """Returns the rows that stand for calls, in the order in which the calls were begun."""
    return [dict(row) async for row in store.queries.list_cost_entries(store.pool)]


async def summary(store: Store, user_id: str | None) -> list[Row]:
    """Returns the sums of the ledger by service, operation and certainty, of one user or of all."""
    return [dict(row) async for row in store.queries.cost_summary(store.pool, user_id=user_id)]


async def sums(
    connection: Connection, chosen: Chosen, keys: Iterable[str] = (), *, most: int = 1
) -> list[Row]:
    """Returns the sums of rows by some of KEYS, in the order of these; by none, one row for all.

    Args:
        connection: Postgres.
        chosen: The rows.
        keys: What they are summed by.
        most: So many sums at most.
    """
    queries = _queries(tuple(keys), _conditions(chosen), paged=False)
    found = queries.cost_sums(connection, **_arguments(chosen), most=most)
    return [dict(row) async for row in found]


async def rows(connection: Connection, chosen: Chosen, after: Place | None, *, most: int) -> list[Row]:
    """Returns rows, the newest first.

    Args:
        connection: Postgres.
        chosen: The rows.
        after: The place of the last one that was read; None before the first.
        most: So many at most.
    """
    queries = _queries((), _conditions(chosen), paged=after is not None)
    page = {} if after is None else {"at": after.created_at, "after": after.id}
    found = queries.cost_rows(connection, **_arguments(chosen), **page, most=most)
    return [dict(row) async for row in found]


async def page(store: Store, chosen: Chosen, after: Place | None, *, most: int, seconds: float) -> list[Row]:
    """Returns rows as `rows` does, within some seconds.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection:
        return await rows(connection, chosen, after, most=most)


def _conditions(chosen: Chosen) -> tuple[str, ...]:
    return tuple(name for name in FILTERS if name in chosen.only)


def _arguments(chosen: Chosen) -> dict[str, Any]:
    return {"since": chosen.since, "until": chosen.until, **chosen.only}


@lru_cache(maxsize=COMBINATIONS)
def _queries(keys: tuple[str, ...], conditions: tuple[str, ...], *, paged: bool) -> Any:
    where = [f"and {name} = :{name}" for name in conditions]
    if paged:
        where.append("and (created_at, id) < (:at, :after)")
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    replaced = {
        "KEYS": "".join(f"{KEYS[key]} as {key}, " for key in keys),
        "GROUPS": f"group by {places} order by {places}" if keys else "",
        "WHERE": " ".join(where),
    }
    sql = LEDGER.read_text().partition("\n\n")[2]
    for word, text in replaced.items():
        sql = sql.replace(word, text)
    return aiosql.from_str(sql, "asyncpg", mandatory_parameters=False)


async def recent(store: Store, seconds: float, patience: float) -> list[Row]:
    """Returns the sums by service, operation and certainty of calls begun within the last seconds.

    Args:
        store: The store.
        seconds: How far back.
        patience: Seconds it may take.

    Raises:
        TimeoutError, OSError, asyncpg.PostgresError: Postgres is away.
    """
    async with borrow(store.pool, patience) as connection:
        return [dict(row) async for row in store.queries.recent_costs(connection, seconds=seconds)]
