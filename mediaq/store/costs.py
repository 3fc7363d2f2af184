"""The cost ledger: its rows, and their sums."""

from __future__ import annotations

from mediaq.store.borrowed import borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row


async def entries(store: Store) -> list[Row]:
    """Returns the rows that stand for calls, in the order in which the calls were begun."""
    return [dict(row) async for row in store.queries.list_cost_entries(store.pool)]


async def summary(store: Store, user_id: str | None) -> list[Row]:
    """Returns the sums of the ledger by service, operation and certainty, of one user or of all."""
    return [dict(row) async for row in store.queries.cost_summary(store.pool, user_id=user_id)]


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
