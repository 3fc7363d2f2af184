"""A lane: one queue's share of a worker, with slots of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Lane:
    """Counts one queue's slots; a parked job has given its slot back and takes one again before it goes on.

    Args:
        queue: The queue's name.
        slots: Jobs at once.
        parking: Jobs beyond those slots that the lane has while some are parked, at most.
        freed: Called whenever a slot becomes free for another job.
    """

    def __init__(
        self, queue: str, *, slots: int, parking: int, freed: Callable[[], None] = lambda: None
    ) -> None:
        self.queue = queue
        self.slots = slots
        self.parking = parking
        self.taken = 0
        # Slots for which jobs have been asked for, and have not come yet.
        self.asked = 0
        self.parked = 0
        # Whether there may be jobs in the queue; a claim that came back short knows better.
        self.hungry = True
        # Whether its queue is paused, held or broken, or all workers suspended: looked at again in a while.
        self.closed = False
        # Set while the lane has room and nothing to claim: someone may wait for work on its behalf.
        self.idle = asyncio.Event()
        self._freed = freed
        self._returning: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """How many jobs the lane can start: none while jobs wait for slots to come back from parking."""
        # Whoever waits never keeps a slot that another needs to come back; too many are not let in at all.
        room = min(self.slots, self.slots + self.parking - self.parked)
        return max(room - self.taken - self.asked, 0)

    def take(self) -> None:
        """Takes a slot."""
        self.taken += 1

    def give(self) -> None:
        """Gives a slot back: to a job that waits for one, if there is any."""
        self.taken -= 1
        self._let_in()
        self.hungry = True
        self._freed()

    def ask(self, count: int) -> None:
        """Keeps slots for jobs that are being asked for."""
        self.asked += count

    def answered(self, count: int) -> None:
        """Gives those slots back; the jobs that came have taken theirs."""
        self.asked -= count
        self._let_in()

    def _let_in(self) -> None:
        while self._returning and self.taken + self.asked < self.slots:
            waiting = self._returning.popleft()
            if not waiting.done():
                self.taken += 1
                waiting.set_result(None)

    def park(self) -> None:
        """Gives a job's slot back while it waits for something outside."""
        self.parked += 1
        self.give()

    async def unpark(self, *, at_once: bool) -> None:
        """Takes a slot again, first come, first served.

        A job that is cancelled meanwhile goes on at once, so that it can clean up: for that while there is
        one job more than there are slots.

        Args:
            at_once: Whether the job has been cut short already.
        """
        self.parked -= 1
        if at_once or self.taken + self.asked < self.slots:
            self.taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._returning.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                self.taken += 1
            raise
