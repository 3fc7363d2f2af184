"""Connections to Postgres, with the codecs that the tables need, and the queries by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosql
import asyncpg
import msgspec
from pgvector.asyncpg import register_vector

from mediaq.settings import Database

SQL = Path(__file__).parent / "sql"


class Store:
    """A pool of connections and the named queries of `store/sql`.

    Args:
        pool: Connections prepared by `open_store`.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.queries: Any = aiosql.from_path(SQL, "asyncpg", mandatory_parameters=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """Yields a connection inside a transaction: all that is written with it stands, or none of it."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def open_store(database: Database) -> AsyncIterator[Store]:
    """Opens the pool; the schema must be there (`mediaq migrate`).

    Args:
        database: URL, pool size and timeout.

    Raises:
        OSError, asyncpg.PostgresError: The server is away or refuses; the same may come from any query.
    """
    pool = await asyncpg.create_pool(
        database.url,
        min_size=0,
        max_size=database.pool_size,
        timeout=database.timeout,
        command_timeout=database.timeout,
        init=_prepare,
    )
    try:
        yield Store(pool)
    finally:
        await pool.close()


async def _prepare(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=encode_json, decoder=msgspec.json.decode
        )
    await register_vector(connection)


def encode_json(value: Any) -> str:
    """Returns JSON that Postgres takes: it refuses the NUL character, which becomes U+FFFD."""
    encoded = msgspec.json.encode(value).decode()
    return (
        msgspec.json.encode(_without_nul(msgspec.to_builtins(value))).decode()
        if "\\u0000" in encoded
        else encoded
    )


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value
