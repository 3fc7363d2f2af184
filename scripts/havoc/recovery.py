"""How long it took until jobs went on after a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from attrs import frozen

from havoc.faults import Struck
from havoc.record import Record

NEVER = float("inf")


@frozen
class Recovery:
    """What followed the faults of one kind.

    Args:
        kind: The kind's name.
        times: How many faults of it took effect.
        next_ends: Seconds from a fault's end until a job ended, of each fault after which any was open.
        met: How many jobs were running where and when it struck.
        went_on: Seconds from a fault's end until each of these began or ended a call, or ended: 0 where that
            was before.
    """

    kind: str
    times: int
    next_ends: Sequence[float]
    met: int
    went_on: Sequence[float]


def recoveries(struck: Iterable[Struck], record: Record) -> list[Recovery]:
    """Return what followed, by kind of fault."""
    ends = {job.id: job.finished_at for job in record.jobs}
    moves = _moves(record)
    real = sorted((one for one in struck if one.took_effect), key=lambda one: one.fault.kind)
    return [_recovery(kind, list(group), record, ends, moves) for kind, group in groupby(real, _kind)]


def _kind(struck: Struck) -> str:
    return struck.fault.kind


def _recovery(
    kind: str,
    struck: Sequence[Struck],
    record: Record,
    ends: Mapping[str, float | None],
    moves: Mapping[str, Sequence[float]],
) -> Recovery:
    next_ends = [found for one in struck if (found := _next_end(one.blow.ended, record)) is not None]
    went_on = [_went_on(one, job, ends, moves) for one in struck for job in one.met]
    return Recovery(kind, len(struck), next_ends, len(went_on), went_on)


def _next_end(moment: float, record: Record) -> float | None:
    """Return the seconds until a job ended; None where none was open."""
    spans = [(job.accepted_at, job.finished_at or NEVER) for job in record.jobs]
    if not any(accepted <= moment < end for accepted, end in spans):
        return None
    return min(end for _, end in spans if end > moment) - moment


def _went_on(
    struck: Struck, job: str, ends: Mapping[str, float | None], moves: Mapping[str, Sequence[float]]
) -> float:
    over = struck.blow.ended
    end = ends.get(job)
    if end is not None and end <= over:
        return 0.0
    return min((move for move in moves.get(job, ()) if move > over), default=NEVER) - over


def _moves(record: Record) -> dict[str, list[float]]:
    """Return when each job was seen to move: a call begun or ended, or the job's end."""
    moves: dict[str, list[float]] = {}
    for run in record.runs:
        moves.setdefault(run.job_id, []).extend(time for time in (run.started_at, run.finished_at) if time)
    for job in record.jobs:
        if job.finished_at:
            moves.setdefault(job.id, []).append(job.finished_at)
    return moves
