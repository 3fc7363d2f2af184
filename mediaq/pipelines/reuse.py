"""Reuse: the same question about the same content, of the same user, is answered from the earlier result.

Of the same user alone: that another has asked the same would show by an answer that costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen

from mediaq.model import Settled
from mediaq.pipelines.operation import Work
from mediaq.store import operations
from mediaq.store.operations import Earlier, UnderWay


@frozen
class Same:
    """What makes a call the same as an earlier one.

    Args:
        fingerprint: A digest of who asks what about which content.
        copy: Makes of the earlier result what this call would have come to; its charge is set by who copies.
    """

    fingerprint: str
    copy: Callable[[Any], Settled] = Settled


def same(work: Work, *question: Any, copy: Callable[[Any], Settled] = Settled) -> Same:
    """Says what makes a call the same as an earlier one.

    Args:
        work: The operation.
        question: All that the answer depends on: the model or method, its parameters, and the content, or a
            name of it that changes when it does.
        copy: Makes a result of the earlier one.
    """
    asked = msgspec.json.encode([work.job.user_id, work.operation, *question], order="deterministic")
    return Same(hashlib.sha256(asked).hexdigest(), copy)


async def look_up(work: Work, known_by: Same) -> Earlier | UnderWay | None:
    """Returns what the same has come to within the time that the settings give, or that it is under way."""
    store, reuse = work.tools.store, work.tools.settings.reuse
    if not reuse.enabled:
        return None
    return await store.link.outlast(lambda: operations.look_up(store, known_by.fingerprint, reuse.seconds))


async def find_earlier(work: Work, known_by: Same) -> Earlier | None:
    """Returns what the same has come to within the time that the settings give it; None: nothing so far."""
    known = await look_up(work, known_by)
    return known if isinstance(known, Earlier) else None
