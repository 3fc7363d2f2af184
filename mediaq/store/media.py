"""Media items as their jobs leave them."""

from __future__ import annotations

from collections.abc import Sequence

from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store


async def derive_statuses(store: Store, connection: Connection, items: Sequence[str]) -> None:
    """Makes media items show what their jobs have come to, inside a transaction that changes these."""
    await store.queries.lock_media_items(connection, ids=items)
    await store.queries.derive_media_statuses(connection, ids=items)
