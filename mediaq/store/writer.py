"""Group commit: writes of concurrent jobs share transactions, and wait for a Postgres that is away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import asyncpg
from attrs import field, frozen

from mediaq.errors import DependencyAway
from mediaq.store.borrowed import Connection, transact
from mediaq.store.link import Link

Row = dict[str, Any]

# Writes that share a transaction at most, to keep it short.
MOST = 200
# Writes that wait at most; who has more to write waits until there is room.
ROOM = 1000
# Seconds that one transaction may take before its connection is given up.
PATIENCE = 30.0
# Seconds that writes have to be put on record in when the process ends.
LAST_WORDS = 3.0


@frozen(eq=False)
class Act:
    """One kind of write.

    Args:
        perform: Does it for many rows in one go; returns the answers by the rows' `n`. Done twice it comes to
            the same: where an answer was lost, all of a transaction is repeated.
        derives: Whether it changes what the jobs' media items show.
    """

    perform: Callable[[Any, Connection, list[Row]], Awaitable[Mapping[int, Any]]]
    derives: bool = False


def marking(query: str) -> Act:
    """Makes an act of a query that returns `n` of the rows that it found; the answer for those is True."""

    async def mark(queries: Any, connection: Connection, rows: list[Row]) -> Mapping[int, Any]:
        return {row["n"]: True async for row in getattr(queries, query)(connection, rows=rows)}

    return Act(mark)


@frozen(eq=False)
class Write:
    """One write that waits for its transaction."""

    act: Act
    job_id: str
    row: Row
    key: Hashable
    name: str | None
    answer: asyncio.Future[Any] = field(factory=lambda: asyncio.get_running_loop().create_future())


class Batch:
    """Writes that share a transaction, which goes act by act; each job's keep their order."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self._keys: set[tuple[Act, Hashable]] = set()
        self._turns: dict[Act, int] = {}
        # How far each job has come; what has to wait is beyond all turns.
        self._reached: dict[str, float] = {}

    @property
    def acts(self) -> list[Act]:
        """The acts in the order in which they are performed."""
        return list(self._turns)

    def take(self, write: Write) -> bool:
        """Takes a write, unless it has to come after the batch; so has then what its job writes later."""
        turn = self._turns.get(write.act, len(self._turns))
        if (write.act, write.key) in self._keys or turn < self._reached.get(write.job_id, 0):
            self._reached[write.job_id] = inf
            return False
        self._turns[write.act] = self._reached[write.job_id] = turn
        self._keys.add((write.act, write.key))
        self.writes.append(write)
        return True


class Writer:
    """Puts what running jobs have to write on record, in the order in which it comes.

    Nothing waits for company: a transaction takes what is there, and what comes meanwhile shares the next.
    The slower Postgres is, the more writes share one.

    Args:
        pool: Connections.
        queries: The named queries.
        link: Knows whether Postgres is away.
        committed: Told how many writes each commit has put on record.
    """

    def __init__(
        self, pool: asyncpg.Pool, queries: Any, link: Link, committed: Callable[[int], None]
    ) -> None:
        self._pool = pool
        self._queries = queries
        self._link = link
        self._committed = committed
        self._waiting: deque[Write] = deque()
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._room = asyncio.Semaphore(ROOM)
        self._work = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many writes are not on record yet."""
        return len(self._unanswered)

    async def write(
        self, act: Act, job_id: str, row: Row, *, key: Hashable = None, name: str | None = None
    ) -> Any:
        """Writes a row and waits until it is on record, however long Postgres is away.

        Args:
            act: What to do with it.
            job_id: The job that it is about, which is locked meanwhile.
            row: What to write.
            key: Two writes of one act and one key do not share a transaction; the name, or else the job's id,
                unless told.
            name: Of writes of one name, in all processes, each sees what the one before it wrote.

        Returns:
            The act's answer for this row; None where it has none.

        Raises:
            asyncpg.PostgresError: Postgres refuses this row.
            DependencyAway: The process ends, and Postgres is away.
        """
        async with self._room:
            if self._closed:
                raise _unwritten()
            write = Write(act, job_id, row, key or name or job_id, name)
            self._unanswered.add(write.answer)
            write.answer.add_done_callback(self._unanswered.discard)
            self._waiting.append(write)
            self._work.set()
            return await write.answer

    async def run(self) -> None:
        """Writes, until it is cancelled."""
        while True:
            await self._work.wait()
            batch = self._take()
            if batch.writes:
                await self._record(batch)
            elif not self._waiting:
                self._work.clear()

    async def close(self, seconds: float) -> None:
        """Gives what waits some seconds to be written; who waits longer hears that it is not."""
        if self._unanswered:
            await asyncio.wait(self._unanswered, timeout=seconds)
        self._closed = True
        for answer in list(self._unanswered):
            _settle(answer, _unwritten())

    def _take(self) -> Batch:
        """Takes what one transaction may hold; what has to come after it stays in its place."""
        batch = Batch()
        left: deque[Write] = deque()
        while self._waiting and len(batch.writes) < MOST:
            write = self._waiting.popleft()
            if not write.answer.cancelled() and not batch.take(write):
                left.append(write)
        self._waiting.extendleft(reversed(left))
        return batch

    async def _record(self, batch: Batch) -> None:
        try:
            answers = await self._link.outlast(lambda: self._commit(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is: who wrote it hears of it
            if len(batch.writes) == 1:
                _settle(batch.writes[0].answer, error)
                return
            # One of them is refused; the others must not suffer for it.
            for write in batch.writes:
                alone = Batch()
                alone.take(write)
                await self._record(alone)
            return
        self._committed(len(batch.writes))
        for write, answer in zip(batch.writes, answers, strict=True):
            _settle(write.answer, answer)

    async def _commit(self, batch: Batch) -> list[Any]:
        async with transact(self._pool, PATIENCE) as connection:
            await self._lock(connection, batch.writes)
            answers: dict[int, Any] = {}
            for act in batch.acts:
                rows = [{"n": n, **write.row} for n, write in enumerate(batch.writes) if write.act is act]
                answers |= await act.perform(self._queries, connection, rows)
        return [answers.get(n) for n in range(len(batch.writes))]

    async def _lock(self, connection: Connection, batch: Sequence[Write]) -> None:
        # In one order for all processes, so that none waits for another in a circle.
        ids = [write.job_id for write in batch]
        await self._queries.lock_jobs(connection, ids=ids, patience=f"{PATIENCE * 1000:.0f}")
        if deriving := [write.job_id for write in batch if write.act.derives]:
            await self._queries.lock_media_items_of(connection, ids=deriving)
        if names := [write.name for write in batch if write.name is not None]:
            await self._queries.lock_names(connection, names=names)


def _settle(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _unwritten() -> DependencyAway:
    return DependencyAway("Postgres stayed away until this process ended: it is not known to be on record")


@asynccontextmanager
async def open_writer(
    pool: asyncpg.Pool, queries: Any, link: Link, committed: Callable[[int], None]
) -> AsyncIterator[Writer]:
    """Yields a writer that writes while the block runs; at its end, what waits has a moment to be written."""
    writer = Writer(pool, queries, link, committed)
    running = asyncio.create_task(writer.run(), name="writer")
    try:
        yield writer
    finally:
        await writer.close(LAST_WORDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
