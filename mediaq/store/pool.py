"""Connections to Postgres, with the codecs that the tables need, and the queries by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import aiosql
import asyncpg
import msgspec
from pgvector.asyncpg import register_vector

from mediaq.errors import MigrationError
from mediaq.settings import Database
from mediaq.store.link import AWAY, Link
from mediaq.store.writer import PATIENCE, Writer, open_writer

__all__ = ["AWAY", "Store", "encode_json", "open_store", "storable"]

SQL = Path(__file__).parent / "sql"
# Seconds that connections have to be closed in.
FAREWELL = 1.0
# Seconds after which Postgres ends a transaction in which nobody says anything: a frozen process holds locks
# that others need to start its jobs.
SILENCE = 5.0


class Observer(Protocol):
    """Told of what is put on record."""

    def committed(self, writes: int) -> None:
        """Hears of a commit that so many writes of running jobs have shared."""

    def charged(self, service: str, operation: str, certainty: str, dollars: Decimal) -> None:
        """Hears what a call costs."""


class Unobserved:
    """Tells nobody."""

    def committed(self, writes: int) -> None:
        """Tells nobody of a commit."""

    def charged(self, service: str, operation: str, certainty: str, dollars: Decimal) -> None:
        """Tells nobody what a call costs."""


class Store:
    """Postgres as mediaq uses it.

    Args:
        pool: Connections, for reads and for the service's own writes.
        queries: The named queries of `store/sql`.
        link: Knows whether Postgres is away.
        writer: Puts on record what running jobs have to write.
        observer: Told of what is put on record.
    """

    def __init__(
        self, pool: asyncpg.Pool, queries: Any, link: Link, writer: Writer, observer: Observer
    ) -> None:
        self.pool = pool
        self.queries = queries
        self.link = link
        self.writer = writer
        self.observer = observer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """Yields a connection inside a transaction: all that is written with it stands, or none of it."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def open_store(database: Database, observer: Observer | None = None) -> AsyncIterator[Store]:
    """Opens the pool; the schema must be there (`mediaq migrate`).

    Args:
        database: URL, pool size and timeout.
        observer: Told of what is put on record; None: nobody is.

    Raises:
        OSError, asyncpg.PostgresError: The server is away or refuses; the same may come from any query.
    """
    queries = aiosql.from_path(SQL, "asyncpg", mandatory_parameters=False)
    link = Link()
    observer = observer or Unobserved()
    async with (
        _open_pool(database, size=database.pool_size, patience=database.timeout) as pool,
        # Of its own: writes of jobs neither wait for reads nor are given up for being slow.
        _open_pool(database, size=1, patience=PATIENCE) as writing,
        open_writer(writing, queries, link, observer.committed) as writer,
    ):
        yield Store(pool, queries, link, writer, observer)


@asynccontextmanager
async def _open_pool(database: Database, *, size: int, patience: float) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(
        database.url,
        min_size=0,
        max_size=size,
        timeout=database.timeout,
        command_timeout=patience,
        server_settings={"idle_in_transaction_session_timeout": f"{SILENCE * 1000:.0f}"},
        init=_prepare,
    )
    try:
        yield pool
    finally:
        await _close(pool)


async def _close(pool: asyncpg.Pool) -> None:
    # A server that hangs does not say goodbye.
    try:
        async with asyncio.timeout(FAREWELL):
            await pool.close()
    except AWAY:
        pool.terminate()


async def _prepare(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=encode_json, decoder=msgspec.json.decode
        )
    try:
        await register_vector(connection)
    except ValueError:
        raise MigrationError("the database lacks the schema: run mediaq migrate first") from None


def encode_json(value: Any) -> str:
    """Returns JSON that Postgres takes (see `storable`)."""
    try:
        encoded = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(value)).decode()
    return (
        msgspec.json.encode(_cleaned(msgspec.json.decode(encoded))).decode()
        if "\\u0000" in encoded
        else encoded
    )


def storable(text: str) -> str:
    """Returns text that Postgres takes: it refuses NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
