"""Events as they are sent: made once, whoever listens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from sse_starlette import ServerSentEvent
from starlette.requests import Request

from mediaq.model import JobEvent
from mediaq.queue.events import Entry, Place, write_place
from mediaq.service.problems import invalid
from mediaq.store.closings import Closing

_ENCODER = msgspec.json.Encoder(decimal_format="number")
# As Redis writes the ids of its streams: two whole numbers of 64 bits.
_PLACE = re.compile(r"(\d{1,15})-(\d{1,19})", re.ASCII)


def opening(place: Place, retry: float) -> bytes:
    """Returns how a stream begins: what a client resumes by that is cut off before the first event.

    Args:
        place: Where the stream begins.
        retry: Seconds after which the client is to open it again.
    """
    return ServerSentEvent(id=write_place(place), retry=round(retry * 1000), sep="\n").encode()


def heartbeat() -> ServerSentEvent:
    """Returns a comment, which clients pass over."""
    return ServerSentEvent(comment="heartbeat", sep="\n")


def tell_entry(entry: Entry) -> bytes:
    """Returns an event that is no end of a job."""
    data = entry.data or _ENCODER.encode({"id": entry.job_id, "jobType": entry.queue})
    return _tell(entry.event, entry.place, data)


def tell_progress(row: Mapping[str, Any], place: Place) -> bytes:
    """Returns where an open job stands, by its row."""
    data = {"id": row["id"], "jobType": row["type"], **row["progress"]}
    return _tell(JobEvent.PROGRESS, place, _ENCODER.encode(data))


def tell_closing(closing: Closing, place: Place) -> bytes:
    """Returns the end of a job."""
    data = {
        "id": closing.id,
        "jobType": closing.type,
        "status": closing.status,
        "returnvalue": closing.result,
        "failedReason": closing.failed_reason,
        "attemptsMade": closing.attempts,
    }
    return _tell(JobEvent(closing.status), place, _ENCODER.encode(data))


def _tell(event: str, place: Place, data: bytes) -> bytes:
    return ServerSentEvent(
        data.decode(errors="replace"), event=event, id=write_place(place), sep="\n"
    ).encode()


def last_place(request: Request) -> Place | None:
    """Returns where a client was cut off that resumes a stream; None: it opens a new one.

    Raises:
        Problem: 422 where the header `Last-Event-ID` has none of our ids.
    """
    given = request.headers.get("Last-Event-ID")
    # Clients that have got no id yet may send an empty one.
    if not given:
        return None
    if (found := _PLACE.fullmatch(given)) is None:
        raise invalid("Last-Event-ID", "it is no id of an event that was sent here")
    return int(found[1]), int(found[2])
