"""Media items as their jobs leave them."""

from __future__ import annotations

from mediaq.store.borrowed import Connection
from mediaq.store.pool import Store


async def derive_status(store: Store, connection: Connection, media_item: str) -> None:
    """Makes a media item show what its jobs have come to, inside a transaction that changes one of them."""
    await store.queries.lock_media_item(connection, id=media_item)
    await store.queries.derive_media_statuses(connection, ids=[media_item])
