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
from mediaq.pipelines.metered import Call, Make, copied, paid, ready, recorded
from mediaq.pipelines.operation import Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.reuse import Same, find_earlier, same
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
        copy: Makes the part's result of what the same part came to in an earlier job.
        service: Whom it goes to, where not to the operation's.
        limit: What it counts for there.
    """

    key: str
    estimate: Charge
    make: Make
    copy: Callable[[Any], Settled] = Settled
    service: str = ""
    limit: str = ""


@frozen
class Asked:
    """A part with what it has in common with the others, where it has nothing of its own."""

    part: Part
    service: str
    limit: str
    question: Any

    def call(self, make: Make, known_by: Same, key: str = "") -> Call:
        """Returns the call, made by what is given, for the part of that key or for the whole."""
        return Call(
            service=self.part.service or self.service,
            limit=self.part.limit or self.limit,
            estimate=self.part.estimate,
            prepare=ready(make),
            part=key,
            same=known_by,
        )


Join = Callable[[Sequence[Any]], Settled]


def part_key(number: int, content: bytes) -> str:
    """Names a part by its place and by all that its answer depends on.

    Another content at the same place, in a later attempt, is another part.
    """
    return f"{number}:{hashlib.sha256(content).hexdigest()}"


async def paid_in_parts(
    work: Work,
    service: str,
    limit: str,
    parts: Sequence[Part],
    join: Join,
    *,
    noun: str,
    question: Any = None,
    copy: Callable[[Any], Settled] | None = Settled,
) -> Any:
    """Makes calls that are billed each, and records and returns what their answers come to together.

    Each answer is on record with its cost as soon as it is there, and no later attempt asks for it again; the
    runner lets one begin when every call of an earlier owner is answered or past its deadline. Where one part
    fails, no further one is begun, and what is under way is seen through to its record. One part alone is the
    operation's one call: its answer and the result are one record. What an earlier job of the same user came
    to is not paid for again, as a whole or part by part (see `reuse`).

    Args:
        work: The operation.
        service: Whom the calls go to.
        limit: What each counts for, as of `take_turn`.
        parts: The calls, in the order in which they are joined; one at least.
        join: Makes the operation's result (and its vectors) of those of the parts; of several it
            is made in a thread. What it charges does not count.
        noun: What a part is called in the progress.
        question: What the answers depend on besides the operation and what the parts' keys name.
        copy: Makes the operation's result of what the same parts came to in an earlier job; None where that
            says too little, and each part is to be copied for itself.

    Raises:
        FenceLost: Another worker has started the job since; no further call is made.
        OnRecord: The operation's result is on record by now, from an earlier owner; no further call is made.
        ProviderError: A call failed for longer than the operation's patience, or for good.
    """
    calls = [Asked(part, service, limit, question) for part in parts]
    if copy is None:
        return await _paid_apart(work, calls, join, noun, None)
    known_by = same(work, service, question, [part.key for part in parts], copy=copy)
    if len(calls) == 1:
        return await patiently(work, partial(_paid_alone, work, calls[0], join, known_by))
    if known := await find_earlier(work, known_by):
        return await copied(work, service, parts[0].estimate.item, known_by, known.result)
    return await _paid_apart(work, calls, join, noun, known_by.fingerprint)


async def _paid_alone(work: Work, asked: Asked, join: Join, known_by: Same) -> Any:
    async def make() -> Settled:
        answer = await asked.part.make()
        whole = join([answer.result])
        return attrs.evolve(answer, result=whole.result, vectors=whole.vectors)

    return await paid(work, asked.call(make, known_by))


async def _paid_apart(
    work: Work, calls: Sequence[Asked], join: Join, noun: str, fingerprint: str | None
) -> Any:
    answers = await _answers(work, calls, noun)

    async def make(_: operations.Run) -> Settled:
        # Let go of as they are joined: of a long text they are large.
        whole = await asyncio.to_thread(join, [answers.pop(call.part.key) for call in calls])
        return attrs.evolve(whole, charge=None)

    return await recorded(work, calls[0].service, None, make, fingerprint=fingerprint)


async def _answers(work: Work, calls: Sequence[Asked], noun: str) -> dict[str, Any]:
    store = work.tools.store
    known = await store.link.outlast(lambda: operations.parts(store, work.job, work.operation))
    answers = {call.part.key: known[call.part.key] for call in calls if call.part.key in known}
    missing = iter([call for call in calls if call.part.key not in answers])

    async def ask(left: Iterator[Asked]) -> None:
        for call in left:
            answers[call.part.key] = await patiently(work, partial(_answer, work, call))
            work.report(TaskStatus.PROCESSING, f"{noun} {len(answers)} of {len(calls)}")

    await _together([ask(missing) for _ in range(min(AT_ONCE, len(calls) - len(answers)))])
    return answers


async def _answer(work: Work, asked: Asked) -> Any:
    part = asked.part
    known_by = same(work, asked.service, asked.question, part.key, copy=part.copy)
    try:
        return await paid(work, asked.call(part.make, known_by, part.key))
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
