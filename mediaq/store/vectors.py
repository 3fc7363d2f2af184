"""Vectors of media items: which items are like one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import aiosql
from attrs import frozen

from mediaq.store.borrowed import Connection, borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row

NEAREST = Path(__file__).parent / "nearest.sql"


@frozen
class Likes:
    """What is like an item.

    Args:
        owner: Whose item it is.
        model: The model of the vectors that were compared; None: the item has none.
        dimensions: Their length.
        items: The nearest first, each with its id, its `similarity` (the cosine) and its vector's metadata.
    """

    owner: str
    model: str | None = None
    dimensions: int | None = None
    items: tuple[Row, ...] = ()


async def find_similar(
    store: Store, media_item: str, *, user_id: str | None, model: str | None, most: int, seconds: float
) -> Likes | None:
    """Finds the items whose vectors are nearest to those of one item.

    Args:
        store: The store.
        media_item: The item.
        user_id: Whose items are searched; None: all. Of another's item nothing is searched.
        model: The model whose vectors are compared; None: that of the item's newest vector.
        most: So many items at most.
        seconds: For all of it.

    Returns:
        What was found; None where there is no such item.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    async with borrow(store.pool, seconds) as connection, connection.transaction(readonly=True):
        owner = await store.queries.media_owner(connection, id=media_item)
        if owner is None:
            return None
        vector = await store.queries.newest_vector(connection, id=media_item, model=model)
        if vector is None or user_id not in (None, owner):
            return Likes(owner)
        await store.queries.scan_on(connection)
        asked = {"id": media_item, "model": vector["model"], "most": most}
        items = await _nearest(connection, vector["dimensions"], user_id, asked)
        return Likes(owner, vector["model"], vector["dimensions"], tuple(items))


async def _nearest(connection: Connection, length: int, user_id: str | None, asked: Row) -> list[Row]:
    queries = queries_of(length)
    if user_id is None:
        rows = queries.nearest(connection, **asked)
    else:
        rows = queries.nearest_of_user(connection, **asked, user_id=user_id)
    return [dict(row) async for row in rows]


@cache
def queries_of(length: int) -> Any:
    """Returns the queries for vectors of one length."""
    sql = NEAREST.read_text().replace("LENGTH", str(length))
    return aiosql.from_str(sql, "asyncpg", mandatory_parameters=False)
