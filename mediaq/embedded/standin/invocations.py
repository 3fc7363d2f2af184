"""One call as the operations see it, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

if TYPE_CHECKING:
    from mediaq.embedded.standin.account import Account
    from mediaq.embedded.standin.book import Book, Charge
    from mediaq.embedded.standin.faults import Faults
    from mediaq.embedded.standin.jobs import Jobs
    from mediaq.embedded.standin.objects import Objects
    from mediaq.embedded.standin.queues import Queues
    from mediaq.embedded.standin.texts import Reader
    from mediaq.embedded.standin.validation import Member


@frozen
class Limits:
    """Limits that AWS sets per account, or that its documentation leaves open.

    Args:
        video_jobs: Rekognition video jobs that run at once (AWS: 20 an account).
        transcription_jobs: Transcription jobs that run at once (AWS: 100 an account by default).
        titan_image_pixels: Pixels of an image for Titan Multimodal (AWS: 2,048 x 2,048).
        rates: Calls per second by operation (for Bedrock: of each model); one that is not named has no limit.
        burst_seconds: For how many seconds' worth of calls the rates may be exceeded at once; one call may
            always be made.
    """

    video_jobs: int = field(default=20, validator=attrs.validators.ge(0))
    transcription_jobs: int = field(default=100, validator=attrs.validators.ge(0))
    titan_image_pixels: int = field(default=2048 * 2048, validator=attrs.validators.ge(1))
    rates: Mapping[str, float] = field(factory=dict)
    burst_seconds: float = field(default=1.0, validator=attrs.validators.ge(0))

    @rates.validator
    def _positive(self, _: attrs.Attribute[Mapping[str, float]], rates: Mapping[str, float]) -> None:
        for operation, rate in rates.items():
            if not rate > 0:
                raise ValueError(f"the rate of {operation} must be more than 0; it is {rate}")


@frozen
class Standin:
    """The parts of one stand-in."""

    objects: Objects
    reader: Reader
    book: Book
    faults: Faults
    jobs: Jobs
    account: Account
    queues: Queues


@frozen
class Invocation:
    """One call.

    Args:
        standin: The parts to answer with.
        body: The request.
        gone: Returns when the client has hung up.
        doomed: Whether a fault makes the asynchronous job that the call starts fail.
    """

    standin: Standin
    body: dict[str, Any]
    gone: Callable[[], Coroutine[Any, Any, None]]
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
