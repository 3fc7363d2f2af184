"""What a listener is sent: what it has missed, from memory or from the record, and then what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from attrs import frozen
from loguru import logger

from mediaq.errors import reason_of
from mediaq.model import JobEvent, JobStatus
from mediaq.queue.events import AT_ONCE, Entry, Place
from mediaq.resources import Resources
from mediaq.service.hub import KNOWN, Hub, Topic, in_milliseconds
from mediaq.service.sse import opening, tell_closing, tell_entry, tell_progress
from mediaq.store import closings
from mediaq.store.closings import Closing
from mediaq.store.lookups import Lookup
from mediaq.store.pool import AWAY

# Open jobs of which one is told at most, at first, who was away for longer than events are kept.
MOST_OPEN = 1000
# Seconds since the epoch that a date can hold: an id may name any.
LATEST = 253_402_300_799


class Records:
    """Looks up jobs for those who begin to listen: after a restart of a service all do so at once.

    Args:
        resources: Store and settings.
    """

    def __init__(self, resources: Resources) -> None:
        store, seconds = resources.store, resources.settings.database.timeout
        self.owners = Lookup(partial(closings.owners, store, seconds=seconds))
        self.standings = Lookup(partial(closings.standings, store, seconds=seconds))


@frozen
class Listener:
    """Someone who listens, and what they can be told.

    Args:
        resources: Store and settings.
        records: How jobs stand.
        hub: Where events come from.
        topic: What they listen to.
        since: The last event that they got; None: they have not listened before.
    """

    resources: Resources
    records: Records
    hub: Hub
    topic: Topic
    since: Place | None

    @property
    def seconds(self) -> float:
        """Seconds that a query may take."""
        return self.resources.settings.database.timeout


@frozen
class Past:
    """What a listener has missed, at the moment at which it begins to listen.

    Args:
        entries: What was told meanwhile, as far as it is still known.
        whole: Whether that is all of it.
        until: What was told last, of any job.
    """

    entries: Sequence[Entry]
    whole: bool
    until: Place


async def follow_job(listener: Listener, job_id: str) -> AsyncIterator[bytes]:
    """Yields the events of a job until it has ended, or the service stops.

    Where Postgres is away the stream ends: the client comes again, and has missed nothing.

    Args:
        listener: Who listens to this job.
        job_id: The job.
    """
    with listener.hub.listening(listener.topic) as mailbox:
        past = _look_back(listener)
        yield _open(listener, past)
        try:
            row = await listener.records.standings.get(job_id)
        except AWAY as error:
            _log(error)
            return
        if row is None:
            return
        if JobStatus(row["status"]).closed:
            yield tell_closing(Closing.from_row(row), listener.hub.place)
            return
        if not past.whole:
            yield tell_progress(row, past.until)
        elif past.entries:
            # An end among them is of a job that runs again.
            yield b"".join(tell_entry(entry) for entry in past.entries if not _is_end(entry))
        while chunk := await mailbox.take():
            yield chunk


async def follow_jobs(listener: Listener) -> AsyncIterator[bytes]:
    """Yields the events of all jobs of a user, or of everybody, until the service stops.

    It ends for one who falls too far behind, and as that of `follow_job` where Postgres is away.

    Args:
        listener: Who listens.
    """
    with listener.hub.listening(listener.topic) as mailbox:
        past = _look_back(listener)
        yield _open(listener, past)
        if listener.since is not None:
            try:
                async for chunk in _catch_up(listener, past, listener.since):
                    yield chunk
            except AWAY as error:
                _log(error)
                return
        while chunk := await mailbox.take():
            yield chunk


def _look_back(listener: Listener) -> Past:
    hub, since = listener.hub, listener.since
    if since is None:
        return Past((), whole=False, until=hub.place)
    return Past(hub.after(since, listener.topic), hub.reaches(since), hub.place)


def _open(listener: Listener, past: Past) -> bytes:
    return opening(listener.since or past.until, listener.resources.settings.events.retry)


async def _catch_up(listener: Listener, past: Past, since: Place) -> AsyncIterator[bytes]:
    """Yields what was missed since an event: ends that were not told first, what was told last.

    No id says more than that all before it was sent: one who is cut off here misses nothing either.
    """
    async for chunk in _recorded_ends(listener, since):
        yield chunk
    if not past.whole:
        user_id = listener.topic.user_id
        rows = await closings.open_progress(listener.resources.store, user_id, MOST_OPEN, listener.seconds)
        yield b"".join(tell_progress(row, since) for row in rows)
    # What the record says of progress is newer.
    missed = [entry for entry in past.entries if past.whole or entry.event != JobEvent.PROGRESS]
    for at in range(0, len(missed), AT_ONCE):
        yield await _tell_again(listener, missed[at : at + AT_ONCE])


async def _recorded_ends(listener: Listener, since: Place) -> AsyncIterator[bytes]:
    """Yields the ends on record since an event, but for those of which it is known when they were told."""
    began = min(datetime.now(UTC), datetime.fromtimestamp(min(since[0] / 1000, LATEST), UTC))
    # An end bears the time at which its transaction began.
    after = began - timedelta(seconds=KNOWN), ""
    store, user_id = listener.resources.store, listener.topic.user_id
    while page := await closings.since(store, user_id, after, AT_ONCE, listener.seconds):
        told = listener.hub.ends(listener.topic)
        untold = [one for one in page if told.get(one.id, -1) < in_milliseconds(one.finished_at)]
        yield b"".join(tell_closing(closing, since) for closing in untold)
        after = page[-1].finished_at, page[-1].id


async def _tell_again(listener: Listener, entries: Sequence[Entry]) -> bytes:
    ended = [entry.job_id for entry in entries if _is_end(entry)]
    found = await closings.read(listener.resources.store, ended, listener.seconds) if ended else []
    known = {closing.id: closing for closing in found}
    return b"".join(
        tell_closing(known[entry.job_id], entry.place) if _is_end(entry) else tell_entry(entry)
        for entry in entries
        if not _is_end(entry) or entry.job_id in known
    )


def _is_end(entry: Entry) -> bool:
    return JobEvent(entry.event).final


def _log(error: BaseException) -> None:
    logger.warning("an event stream is cut off: {}", reason_of(error))
