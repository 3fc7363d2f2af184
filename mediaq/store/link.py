"""Whether Postgres can be reached: known to all who write, so that they wait instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from loguru import logger
from tenacity import AsyncRetrying, retry_if_exception, wait_exponential_jitter

from mediaq.errors import CommitUnknown, reason_of

T = TypeVar("T")

# What asyncpg raises where Postgres is away, starting, full, or only a copy for now; its other errors are
# faults in a query.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # A connection that broke in the middle of something may know no way on.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# Transactions that got in each other's way: the same may go through in a moment.
BUSY = (asyncpg.TransactionRollbackError,)
# Seconds between two tries, at first and at most.
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0


class Link:
    """What this process knows of the way to Postgres."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.there = asyncio.Event()
        self.there.set()
        self._asking = 0

    @property
    def away(self) -> bool:
        """Whether Postgres was away when it was last needed."""
        return self.lost.is_set()

    @property
    def awaited(self) -> bool:
        """Whether Postgres is away and someone asks for it again and again, who will know when it is back."""
        return self.away and self._asking > 0

    async def outlast(self, act: Callable[[], Awaitable[T]]) -> T:
        """Acts, again and again for as long as Postgres is away; what it does must bear being repeated.

        Args:
            act: Reads, or writes what changes nothing when it is written twice.

        Raises:
            asyncpg.PostgresError: Postgres is there and refuses.
        """

        async def go() -> T:
            return await act()

        trying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_a_try),
            wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT),
            reraise=True,
        )
        self._asking += 1
        try:
            answer: T = await trying(go)
        finally:
            self._asking -= 1
        self._find()
        return answer

    def _is_worth_a_try(self, error: BaseException) -> bool:
        # What asyncpg says of bad arguments is an InterfaceError as well, and a ValueError.
        if isinstance(error, (*AWAY, CommitUnknown)) and not isinstance(error, ValueError):
            self._lose(error)
            return True
        if isinstance(error, asyncpg.PostgresError):
            self._find()
        return isinstance(error, BUSY)

    def _lose(self, error: BaseException) -> None:
        if not self.away:
            logger.warning("Postgres is away: {}", reason_of(error))
            self.there.clear()
            self.lost.set()

    def _find(self) -> None:
        if self.away:
            logger.info("Postgres is back")
            self.lost.clear()
            self.there.set()
