"""Who listens to what in this process, and what was told lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import takewhile

from attrs import frozen

from mediaq.model import JobEvent
from mediaq.queue.events import KEPT, Entry, Place
from mediaq.service.mailbox import Mailbox
from mediaq.service.sse import tell_closing, tell_entry
from mediaq.store.closings import Closing

# Seconds for which the ends that were told are known: longer than a transaction may take to commit one.
KNOWN = 60.0
# Milliseconds after a job's end within which its progress was on its way before; what comes later is of a job
# that runs again.
LATE = 1000


@frozen
class Topic:
    """What someone listens to: one job, the jobs of one user, or with neither all jobs.

    Args:
        job_id: The job.
        user_id: The user.
    """

    job_id: str | None = None
    user_id: str | None = None

    def covers(self, entry: Entry) -> bool:
        """Tells whether an event belongs to it."""
        return self.job_id in (None, entry.job_id) and self.user_id in (None, entry.share)


EVERYBODY = Topic()


class Hub:
    """Hands each event to those who listen, and remembers the latest for those who come again.

    Events have one order, that of the stream in Redis: whoever has got an event has got all before it.
    """

    def __init__(self) -> None:
        # Until Redis has told: what is told from now on comes after it, even where the clocks differ.
        self.place: Place = (int((time.time() - KNOWN) * 1000), 0)
        self._log: deque[Entry] = deque(maxlen=KEPT)
        self._mailboxes: dict[Topic, set[Mailbox]] = {}
        self._told = Told()
        self._closed = False

    @contextmanager
    def listening(self, topic: Topic) -> Iterator[Mailbox]:
        """Yields a mailbox that gets what is told from now on, while the block runs."""
        mailbox = Mailbox()
        if self._closed:
            mailbox.end()
        self._mailboxes.setdefault(topic, set()).add(mailbox)
        try:
            yield mailbox
        finally:
            self._leave(topic, mailbox)

    def close(self) -> None:
        """Ends all streams, and those to come, for the service is about to stop."""
        self._closed = True
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                mailbox.end()

    def jobs(self) -> list[str]:
        """Returns the jobs that are listened to one by one."""
        return [topic.job_id for topic in self._mailboxes if topic.job_id is not None]

    def users(self) -> list[str] | None:
        """Returns the users whose jobs are listened to; None: everybody's are."""
        if EVERYBODY in self._mailboxes:
            return None
        return [topic.user_id for topic in self._mailboxes if topic.user_id is not None]

    def wants(self, job_id: str, user_id: str) -> bool:
        """Tells whether anyone listens to a job."""
        return any(topic in self._mailboxes for topic in _topics(job_id, user_id))

    def knows(self, job_id: str, finished_at: datetime) -> bool:
        """Tells whether it was told lately that a job was closed at that time, or later."""
        return self._told.since(job_id) >= in_milliseconds(finished_at)

    def replace(self, entries: Sequence[Entry], place: Place) -> None:
        """Takes what the stream keeps for what was told lately.

        Args:
            entries: All that the stream keeps.
            place: Where it ends.
        """
        self._log.clear()
        self._log.extend(entries)
        self.place = place
        for entry in entries:
            if JobEvent(entry.event).final:
                self._told.note(entry.job_id, entry.place[0])

    def tell(self, entry: Entry, closing: Closing | None) -> None:
        """Tells an event that the stream has.

        Args:
            entry: The event.
            closing: How the job ended, where it is the end of one that someone listens to.
        """
        self._log.append(entry)
        self.place = entry.place
        if closing is not None:
            self.tell_end(closing)
        elif JobEvent(entry.event).final:
            self._told.note(entry.job_id, entry.place[0])
        elif not self._is_late(entry) and self.wants(entry.job_id, entry.share):
            topics = _topics(entry.job_id, entry.share)
            self._post(topics, (entry.job_id, entry.event), tell_entry(entry))

    def tell_end(self, closing: Closing) -> None:
        """Tells how a job ended, unless that was told, and ends the streams of that job."""
        chunk = tell_closing(closing, self.place)
        key = closing.id, closing.finished_at
        if self.knows(closing.id, closing.finished_at):
            # Whoever listens to the job alone came after that.
            self._post((Topic(closing.id),), key, chunk)
        else:
            self._post(_topics(closing.id, closing.user_id), key, chunk)
        self._told.note(closing.id, max(in_milliseconds(closing.finished_at), self.place[0]))
        self.end(closing.id)

    def end(self, job_id: str) -> None:
        """Ends the streams of a job."""
        for mailbox in self._mailboxes.pop(Topic(job_id), ()):
            mailbox.end()

    def reaches(self, place: Place) -> bool:
        """Tells whether all that was told after a place is still known."""
        return bool(self._log) and place >= self._log[0].place

    def after(self, place: Place, topic: Topic) -> list[Entry]:
        """Returns what was told of a topic after a place, as far as it is still known, in order."""
        missed = list(takewhile(lambda entry: entry.place > place, reversed(self._log)))
        return [entry for entry in reversed(missed) if topic.covers(entry)]

    def ends(self, topic: Topic) -> dict[str, int]:
        """Returns when the ends of a topic's jobs were told, as far as it is still known, by their ids."""
        return {
            entry.job_id: entry.place[0]
            for entry in self._log
            if topic.covers(entry) and JobEvent(entry.event).final
        }

    def _is_late(self, entry: Entry) -> bool:
        """Tells whether a job's end was told before what came before it."""
        ended = self._told.since(entry.job_id)
        if not ended or entry.event == JobEvent.STALLED:
            # A worker may die between the two ends of its job, on record and in Redis.
            return ended > 0
        if entry.place[0] <= ended + LATE:
            return True
        self._told.forget(entry.job_id)
        return False

    def _post(self, topics: Iterable[Topic], key: Hashable, chunk: bytes) -> None:
        for topic in topics:
            for mailbox in self._mailboxes.get(topic, ()):
                mailbox.put(key, chunk)

    def _leave(self, topic: Topic, mailbox: Mailbox) -> None:
        mailboxes = self._mailboxes.get(topic, set())
        mailboxes.discard(mailbox)
        if not mailboxes:
            self._mailboxes.pop(topic, None)


class Told:
    """Ends of jobs that were told in the last minute or two: until when each is known to be told."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[int, float]] = {}

    def note(self, job_id: str, until: int) -> None:
        """Notes that a job's end was told, if it came before a time in milliseconds since the epoch."""
        now = time.monotonic()
        self._noted.pop(job_id, None)
        self._noted[job_id] = until, now
        while now - self._noted[oldest := next(iter(self._noted))][1] > 2 * KNOWN:
            del self._noted[oldest]

    def since(self, job_id: str) -> int:
        """Returns until when a job's end is known to be told; 0: never."""
        return self._noted.get(job_id, (0, 0.0))[0]

    def forget(self, job_id: str) -> None:
        """Forgets the end of a job that runs again."""
        self._noted.pop(job_id, None)


def in_milliseconds(moment: datetime) -> int:
    """Returns a time in whole milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)


def _topics(job_id: str, user_id: str) -> tuple[Topic, Topic, Topic]:
    return Topic(job_id), Topic(user_id=user_id), EVERYBODY
