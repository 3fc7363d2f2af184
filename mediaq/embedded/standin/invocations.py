"""One call as the operations see it, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from mediaq.embedded.standin.book import Book, Charge
    from mediaq.embedded.standin.faults import Faults
    from mediaq.embedded.standin.jobs import Jobs
    from mediaq.embedded.standin.objects import Objects
    from mediaq.embedded.standin.texts import Reader
    from mediaq.embedded.standin.validation import Member


@frozen
class Limits:
    """Limits that AWS sets per account, or that its documentation leaves open.

    Args:
        video_jobs: Rekognition video jobs that run at once (AWS: 20 an account).
        transcription_jobs: Transcription jobs that run at once (AWS: 100 an account by default).
        titan_image_pixels: Pixels of an image for Titan Multimodal (AWS: 2,048 x 2,048).
    """

    video_jobs: int = 20
    transcription_jobs: int = 100
    titan_image_pixels: int = 2048 * 2048


@frozen
class Standin:
    """The parts of one stand-in."""

    objects: Objects
    reader: Reader
    book: Book
    faults: Faults
    jobs: Jobs
    limits: Limits


@frozen
class Invocation:
    """One call.

    Args:
        standin: The parts to answer with.
        body: The request.
        doomed: Whether a fault makes the asynchronous job that the call starts fail.
    """

    standin: Standin
    body: dict[str, Any]
    doomed: bool = False


@frozen
class Answer:
    """What a call is answered and billed."""

    body: dict[str, Any]
    charges: tuple[Charge, ...] = ()
    headers: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Operation:
    """An operation of a service.

    Args:
        service: The service's name in the ledger.
        name: The operation's name.
        item: The item of the price list that it is billed as; empty for one that is free.
        answer: Does the work.
        resource: Says from the request what it is about, for the ledger.
        members: The constraints of the request.
    """

    service: str
    name: str
    item: str
    answer: Callable[[Invocation], Awaitable[Answer]]
    resource: Callable[[dict[str, Any]], str]
    members: tuple[Member, ...] = ()
