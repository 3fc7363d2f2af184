"""Media items as their jobs leave them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from attrs import frozen

from mediaq.store.borrowed import Connection, borrow
from mediaq.store.pool import Store
from mediaq.store.writer import Row


@frozen
class MediaItem:
    """A media item with what belongs to it.

    Args:
        row: Its own row.
        jobs: Its newest jobs, the newest first: id, type and status.
        embeddings: Its vectors without their values, the newest first.
        billed: What it is known to have cost, in US dollars.
        possibly_billed: What calls cost whose answers were lost, if they were billed.
    """

    row: Row
    jobs: list[Row]
    embeddings: list[Row]
    billed: Decimal
    possibly_billed: Decimal

    @property
    def owner(self) -> str:
        """Whose it is."""
        return str(self.row["user_id"])


async def find(store: Store, media_item: str, *, most: int, seconds: float) -> MediaItem | None:
    """Returns a media item, if there is one, as it is at one moment.

    Args:
        store: The store.
        media_item: The item.
        most: So many jobs at most.
        seconds: For all of it.

    Raises:
        OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
    """
    queries = store.queries
    async with (
        borrow(store.pool, seconds) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        row = await queries.media_item_by_id(connection, id=media_item)
        if row is None:
            return None
        jobs = [dict(job) async for job in queries.newest_jobs_of(connection, id=media_item, most=most)]
        vectors = [dict(vector) async for vector in queries.embeddings_of(connection, id=media_item)]
        costs = await queries.item_costs(
            connection, id=media_item, user_id=row["user_id"], created_at=row["created_at"]
        )
        return MediaItem(dict(row), jobs, vectors, **costs)


async def derive_statuses(store: Store, connection: Connection, items: Sequence[str]) -> None:
    """Makes media items show what their jobs have come to, inside a transaction that changes these."""
    await store.queries.lock_media_items(connection, ids=items)
    await store.queries.derive_media_statuses(connection, ids=items)
