"""The cost ledger: its rows, and their sums."""

from __future__ import annotations

from mediaq.store.pool import Store
from mediaq.store.writer import Row


async def entries(store: Store) -> list[Row]:
    """Returns the rows that stand for calls, in the order in which the calls were begun."""
    return [dict(row) async for row in store.queries.list_cost_entries(store.pool)]


async def summary(store: Store, user_id: str | None) -> list[Row]:
    """Returns the sums of the ledger by service, operation and certainty, of one user or of all."""
    return [dict(row) async for row in store.queries.cost_summary(store.pool, user_id=user_id)]
