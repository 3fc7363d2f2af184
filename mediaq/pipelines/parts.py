"""An operation that takes several calls: the answer to each is kept, so that none is paid for twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
from attrs import frozen

from mediaq.errors import OnRecord
from mediaq.model import Charge, Settled, TaskStatus
from mediaq.pipelines.metered import Make, paid, patiently, recorded
from mediaq.pipelines.operation import Work
from mediaq.store import operations

# Calls of one operation that are under way at once: enough to hide the time that an answer takes, and few
# enough that a long text leaves the provider's rate (20 calls a second) to others, too.
AT_ONCE = 8


@frozen
class Part:
    """One of the calls that an operation takes.

    Args:
        key: Its name within the operation (see `part_key`): what is on record under it is its answer.
        estimate: What it may cost at most.
        make: Makes it; the settled result is the part's.
    """

    key: str
    estimate: Charge
    make: Make


Join = Callable[[Sequence[Any]], Settled]


def part_key(number: int, content: bytes) -> str:
    """Names a part by its place and by all that its answer depends on.

    Another content at the same place, in a later attempt, is another part.
    """
    return f"{number}:{hashlib.sha256(content).hexdigest()}"


async def paid_in_parts(
    work: Work, service: str, limit: str, parts: Sequence[Part], join: Join, *, noun: str
) -> Any:
    """Makes calls that are billed each, and records and returns what their answers come to together.

    Each answer is on record with its cost as soon as it is there, and no later attempt asks for it again; the
    runner lets one begin when every call of an earlier owner is answered or past its deadline. Where one part
    fails, no further one is begun, and what is under way is seen through to its record. One part alone is the
    operation's one call: its answer and the result are one record.

    Args:
        work: The operation.
        service: Whom the calls go to.
        limit: What each counts for, as of `take_turn`.
        parts: The calls, in the order in which they are joined; one at least.
        join: Makes the operation's result (and its vector) of those of the parts; of several it
            is made in a thread. What it charges does not count.
        noun: What a part is called in the progress.

    Raises:
        FenceLost: Another worker has started the job since; no further call is made.
        OnRecord: The operation's result is on record by now, from an earlier owner; no further call is made.
        ProviderError: A call failed for longer than the operation's patience, or for good.
    """
    if len(parts) == 1:
        return await patiently(work, partial(_paid_alone, work, service, limit, parts[0], join))
    answers = await _answers(work, service, limit, parts, noun)

    async def make(run: operations.Run) -> Settled:  # noqa: ARG001 - the shape of Make
        # Let go of as they are joined: of a long text they are large.
        whole = await asyncio.to_thread(join, [answers.pop(part.key) for part in parts])
        return attrs.evolve(whole, charge=None)

    return await recorded(work, service, None, make)


async def _paid_alone(work: Work, service: str, limit: str, part: Part, join: Join) -> Any:
    async def make(run: operations.Run) -> Settled:
        answer = await part.make(run)
        whole = join([answer.result])
        return attrs.evolve(answer, result=whole.result, vector=whole.vector)

    return await paid(work, service, limit, part.estimate, make)


async def _answers(work: Work, service: str, limit: str, parts: Sequence[Part], noun: str) -> dict[str, Any]:
    store = work.tools.store
    known = await store.link.outlast(lambda: operations.parts(store, work.job, work.operation))
    answers = {part.key: known[part.key] for part in parts if part.key in known}
    missing = iter([part for part in parts if part.key not in answers])

    async def ask(left: Iterator[Part]) -> None:
        for part in left:
            answers[part.key] = await patiently(work, partial(_answer, work, service, limit, part))
            work.report(TaskStatus.PROCESSING, f"{noun} {len(answers)} of {len(parts)}")

    await _together([ask(missing) for _ in range(min(AT_ONCE, len(parts) - len(answers)))])
    return answers


async def _answer(work: Work, service: str, limit: str, part: Part) -> Any:
    try:
        return await paid(work, service, limit, part.estimate, part.make, part=part.key)
    except OnRecord as late:
        if late.part == part.key:
            return late.result
        raise


async def _together(acts: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Acts concurrently until all is done; the first error ends the others."""
    tasks = [asyncio.create_task(act) for act in acts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
