"""What is known of a run once it is over, gathered from all who took part."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import httpx
from attrs import frozen

from havoc.course import Course, Plan
from havoc.crew import Crew
from havoc.faults import NoEffectError
from havoc.ground import Ground
from havoc.poll import until
from havoc.record import Record, read_record
from havoc.webapp import Answers, WebApp

# Seconds for Redis to show no job as open: of a killed stock worker RQ thinks for 90 s that it runs its job.
PATIENCE = 100.0
_NOT_COMPLETED = ("waiting", "active", "delayed", "failed")
_POLL = 0.5


@frozen
class Evidence:
    """What is known.

    Args:
        plan: What was to happen.
        course: What happened.
        answers: What callers saw.
        record: What is on record.
        own_ends: How often each process ended that nothing had struck, of those that did.
        queued: How many jobs the queues show as what, of what none is to be left.
    """

    plan: Plan
    course: Course
    answers: Answers
    record: Record
    own_ends: Mapping[str, int]
    queued: Mapping[str, int]


async def gather(ground: Ground, plan: Plan, course: Course, webapp: WebApp) -> Evidence:
    """Gather what is known.

    Raises:
        OSError, asyncpg.PostgresError, httpx.HTTPError: A server is away.
    """
    queued = await _left_in_queues(webapp)
    own_ends = await _census(ground.crew)
    return Evidence(plan, course, webapp.answers, await read_record(ground), own_ends, queued)


async def _census(crew: Crew) -> dict[str, int]:
    for actor in crew.actors.values():
        try:
            await actor.running()
        except NoEffectError:
            actor.own_ends += 1
    return {name: actor.own_ends for name, actor in crew.actors.items() if actor.own_ends}


async def _left_in_queues(webapp: WebApp) -> dict[str, int]:
    """Return what the queues show of jobs that are not completed: nothing, or what stays for long."""
    found: dict[str, int] = {}

    async def nothing() -> bool:
        nonlocal found
        found = await _not_completed(webapp)
        return not found

    with suppress(TimeoutError):
        await until(nothing, most=PATIENCE, every=_POLL)
    return found


async def _not_completed(webapp: WebApp) -> dict[str, int]:
    try:
        queues = await webapp.queues()
    except httpx.HTTPError as error:
        return {f"not shown, for {type(error).__name__}": 1}
    counts = {status: sum(queue["counts"][status] for queue in queues) for status in _NOT_COMPLETED}
    return {status: count for status, count in counts.items() if count}
