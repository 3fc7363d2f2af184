"""The cost ledger, read as a whole."""

from __future__ import annotations

from typing import Any

from mediaq.store.pool import Store

Row = dict[str, Any]


async def entries(store: Store) -> list[Row]:
    """Returns the rows that stand for calls, in the order in which the calls were begun."""
    return [dict(row) async for row in store.queries.list_cost_entries(store.pool)]
