"""What jobs share while their worker lives: opened by the first that needs it, closed at the worker's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

T = TypeVar("T")
Open = Callable[[], AbstractAsyncContextManager[T]]

# The store of the worker that runs here; unset outside of AsyncWorkers.
current_store: ContextVar[KeptStore] = ContextVar("current_store")


class KeptStore:
    """Holds what is open, each in a task of its own: what a task enters, the same task leaves."""

    def __init__(self) -> None:
        self._open: dict[Hashable, tuple[asyncio.Task[None], asyncio.Future[Any]]] = {}
        self._closing = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    async def get(self, key: Hashable, opening: Open[T]) -> T:
        """Returns what is kept under a key, opened now if need be; a failure to open is not kept."""
        if key not in self._open:
            ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._open[key] = (asyncio.create_task(self._hold(key, opening, ready)), ready)
        # A job that is cancelled while it waits must not take the others' with it.
        return cast("T", await asyncio.shield(self._open[key][1]))

    async def close(self) -> None:
        """Closes everything."""
        self._closing.set()
        await asyncio.gather(*(task for task, _ in self._open.values()), return_exceptions=True)

    async def _hold(self, key: Hashable, opening: Open[T], ready: asyncio.Future[T]) -> None:
        try:
            async with opening() as value:
                ready.set_result(value)
                await self._closing.wait()
        except BaseException as error:
            if ready.done():
                raise
            del self._open[key]
            ready.set_exception(error)
            # Heard by whoever asked; if all have been cancelled, by nobody.
            ready.exception()


@asynccontextmanager
async def keeping() -> AsyncIterator[None]:
    """Keeps what is opened within the block until its end."""
    store = KeptStore()
    token = current_store.set(store)
    try:
        yield
    finally:
        current_store.reset(token)
        await store.close()


@asynccontextmanager
async def kept(key: Hashable, opening: Open[T]) -> AsyncIterator[T]:
    """Yields what `opening` opens: the worker's own, kept for the next job; or one for this block.

    Args:
        key: What it is kept under.
        opening: Makes the context manager that opens it.
    """
    store = current_store.get(None)
    # What belongs to one event loop is of no use on one of a job's own.
    if store is None or store.loop is not asyncio.get_running_loop():
        async with opening() as value:
            yield value
    else:
        yield await store.get(key, opening)
