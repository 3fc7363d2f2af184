"""Connections for those who cannot wait: what is not done in time is cut off, and its connection with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from mediaq.errors import CommitUnknown
from mediaq.store.link import AWAY

Connection = asyncpg.pool.PoolConnectionProxy

# Seconds that a connection may take to be made ready for the next one.
RESET = 1.0


@asynccontextmanager
async def borrow(pool: asyncpg.Pool, seconds: float) -> AsyncIterator[Connection]:
    """Yields a connection to a block that ends within some seconds, the wait for a free connection included.

    asyncpg asks the server to stop what is given up and waits for it, as long again where the server hangs.
    So a connection that is given up is closed here, and asked for nothing more.

    Args:
        pool: Where it is from.
        seconds: For all of it.

    Raises:
        TimeoutError: They are over.
        OSError, asyncpg.PostgresError: Postgres is away or refuses.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    connection = await pool.acquire(timeout=seconds)
    try:
        async with asyncio.timeout_at(deadline):
            yield connection
    except (*AWAY, asyncio.CancelledError):
        connection.terminate()
        raise
    finally:
        # What the block has done is done, whatever becomes of the connection.
        with suppress(*AWAY):
            await pool.release(connection, timeout=RESET)


@asynccontextmanager
async def transact(pool: asyncpg.Pool, seconds: float) -> AsyncIterator[Connection]:
    """Yields a connection inside a transaction that ends within some seconds, as of `borrow`.

    Raises:
        CommitUnknown: The connection broke at the commit: all that was written stands, or none of it.
        OSError, asyncpg.PostgresError: As of `borrow`; nothing that was written stands.
    """
    committing = False
    try:
        async with borrow(pool, seconds) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except AWAY:
                # Of no more use; closed without a commit, it leaves nothing behind.
                raise
            except Exception:
                await transaction.rollback()
                raise
            committing = True
            await transaction.commit()
    except AWAY as error:
        if committing:
            raise CommitUnknown(f"Postgres went away at a commit: {str(error) or 'no answer'}") from error
        raise
