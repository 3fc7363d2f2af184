"""Look-ups that many ask for at once: a crowd costs a query or two, not one each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

# Keys that one query looks up at most.
MOST = 500


class Lookup(Generic[T]):
    """Looks keys up together: who asks while a query is under way shares the next one.

    So the answer is never older than the question.

    Args:
        read: Looks up some keys; what it does not find is left out.
    """

    def __init__(self, read: Callable[[list[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[T | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: str) -> T | None:
        """Looks a key up; None: there is no such thing.

        Raises:
            OSError, asyncpg.PostgresError: Postgres is away, or does not answer in time.
        """
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        # Others may wait for the same.
        return await asyncio.shield(answer)

    async def _read_all(self) -> None:
        while self._waiting:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:MOST]}
            try:
                found = await self._read(list(batch))
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                _refuse(batch, error)
                continue
            for key, answer in batch.items():
                answer.set_result(found.get(key))
        self._reading = None


def _refuse(batch: Mapping[str, asyncio.Future[T | None]], error: Exception) -> None:
    for answer in batch.values():
        answer.set_exception(error)
        # Whoever asked may have gone.
        answer.exception()
