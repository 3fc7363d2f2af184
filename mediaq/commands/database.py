"""What commands that use Postgres share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

from mediaq.errors import MediaqError, reason_of
from mediaq.settings import load_settings
from mediaq.store.pool import Store, open_store

T = TypeVar("T")


def with_store(act: Callable[[Store], Awaitable[T]]) -> T:
    """Does something with the store that the settings name.

    Raises:
        MediaqError: Postgres cannot be used.
    """

    async def run() -> T:
        async with open_store(load_settings().database) as store:
            return await act(store)

    return run_to_end(run())


def run_to_end(act: Coroutine[Any, Any, T]) -> T:
    """Runs what uses Postgres on a loop of its own.

    Raises:
        MediaqError: Postgres cannot be used.
    """
    try:
        return asyncio.run(act)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MediaqError(f"Postgres cannot be used: {reason_of(error)}") from error
