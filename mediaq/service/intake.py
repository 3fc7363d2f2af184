"""Jobs that are asked for at once are accepted together: one look at Redis and one commit for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attrs import field, frozen
from redis.exceptions import RedisError

from mediaq.errors import CommitUnknown
from mediaq.model import NewJob
from mediaq.resources import Resources
from mediaq.store.acceptance import Accepted, Outcome, accept_all
from mediaq.store.pool import AWAY

# Jobs that share a transaction at most, to keep it short.
MOST = 100
# Transactions at a time: with two, each is shared by fewer, and all take longer (`scripts/benchmark-posts`).
AT_ONCE = 1
# Seconds after which those who come do not wait any more for the transactions before theirs.
HEADWAY = 0.05
# Seconds that jobs wait together for what another transaction has locked; then each waits alone.
PATIENCE = 0.1


@frozen(eq=False)
class _Asked:
    new: NewJob
    answer: asyncio.Future[Accepted] = field(factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Outcome | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(outcome, Accepted):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Intake:
    """Accepts jobs of whoever calls.

    Nobody waits for company: a transaction takes those who are there, and those who come meanwhile share the
    next. Nobody suffers for company either: what cannot be accepted together is accepted one by one.

    Args:
        resources: Queues, store and settings.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._waiting: deque[_Asked] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._groups: set[asyncio.Task[None]] = set()

    async def accept(self, new: NewJob) -> Accepted:
        """Puts a job on record, or finds the one that its idempotency key stands for.

        Raises:
            NotYours, OverBudget, TooManyOpen: As of `mediaq.store.acceptance.accept`.
            KeyTaken, CommitUnknown: As of `mediaq.store.acceptance.accept_all`.
            RedisError: Redis is away; the job is not on record.
            OSError, asyncpg.PostgresError: Postgres is away or refuses; the job is not on record.
        """
        asked = _Asked(new)
        self._waiting.append(asked)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(), name="intake")
        return await asked.answer

    async def close(self) -> None:
        """Waits until all who have asked are answered."""
        while self._sending is not None:
            await self._sending
        await asyncio.gather(*self._groups)

    async def _send(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            accepting = asyncio.create_task(self._accept(group))
            self._groups.add(accepting)
            accepting.add_done_callback(self._groups.discard)
            if len(self._groups) >= AT_ONCE:
                await asyncio.wait(self._groups, timeout=HEADWAY, return_when=asyncio.FIRST_COMPLETED)
        self._sending = None

    async def _accept(self, group: Sequence[_Asked]) -> None:
        try:
            # Known to be away, Redis is refused for before anything is on record.
            await asyncio.gather(
                *(self._resources.queues[name].ping() for name in {one.new.type for one in group})
            )
            await self._record(group, PATIENCE if len(group) > 1 else 0)
        except Exception as error:  # noqa: BLE001 - whatever it is: who asked hears of it
            if len(group) == 1 or _is_for_all(error):
                for one in group:
                    one.settle(error)
            else:
                await asyncio.gather(*(self._accept([one]) for one in group))

    async def _record(self, group: Sequence[_Asked], patience: float) -> None:
        settings = self._resources.settings
        # In one order for all processes, so that those who bring the same keys do not wait in a circle.
        ordered = sorted(group, key=_place)
        news = [one.new for one in ordered]
        outcomes = await accept_all(
            self._resources.store,
            news,
            settings.database.timeout,
            settings.service.open_jobs,
            patience=patience,
        )
        found = dict(zip(ordered, outcomes, strict=True))
        # Those first who came first: so they are pushed.
        for one in group:
            one.settle(found[one])


def _place(one: _Asked) -> tuple[str, str]:
    return one.new.user_id, one.new.idempotency_key or ""


def _is_for_all(error: Exception) -> bool:
    """Tells whether a server is away, which each would hear alone as well."""
    if isinstance(error, ValueError):
        # asyncpg says so of bad arguments.
        return False
    return isinstance(error, (CommitUnknown, RedisError, *AWAY))


@asynccontextmanager
async def open_intake(resources: Resources) -> AsyncIterator[Intake]:
    """Yields an intake; at the end, those who have asked are answered.

    Args:
        resources: Queues, store and settings.
    """
    intake = Intake(resources)
    try:
        yield intake
    finally:
        await intake.close()
