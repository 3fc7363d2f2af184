"""What is wanted of a run, beside what was measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from havoc.evidence import Evidence
from havoc.ledger import EXPLAINED, Bill, possibly_billed, repeated, result_times
from havoc.record import Job
from mediaq.model import JobStatus
from proof.checks import Check, equal, shown

NONE = "none"
_FRAME = re.compile(r'File ".*?(mediaq/[^"]+)", line (\d+)')


def judge(evidence: Evidence) -> list[Check]:
    """Return all checks."""
    return [*_requests(evidence), *_jobs(evidence), *_calls(evidence), *_parts(evidence)]


def complaints(evidence: Evidence) -> Iterator[str]:
    """Yield a sentence about each thing that is wrong and that the checks only count."""
    yield from (f"a request was answered: {answer}" for answer in evidence.answers.complaints)
    for job in evidence.record.jobs:
        if not job.closed:
            yield f"job {job.id} is still {job.status}, after {job.attempts} attempts and {job.deaths} deaths"
    for job in _tried(evidence.record.jobs):
        yield f"job {job.id} used {job.attempts} attempts; the first failed by {_cause(job.stacktrace)}"
    for run in repeated(evidence.record.runs):
        yield f"job {run.job_id}: {run.operation} was called again by run {run.id}, which is {run.state}"
    yield from Bill.of(evidence).faults()
    for one in evidence.course.struck:
        if not one.took_effect:
            yield f"the fault {one.fault.kind} took no effect: {one.blow.seen}"


def _requests(evidence: Evidence) -> list[Check]:
    answers = evidence.answers
    again = [ids for ids in answers.jobs.values() if len(ids) > 1]
    others = sum(len(set(ids)) > 1 for ids in again)
    return [
        equal("requests accepted", len(evidence.plan.orders), len(answers.jobs)),
        shown("how they were answered until then", _counted(answers.counts)),
        equal("answers other than 202, 503 and 504", 0, len(answers.complaints)),
        equal(f"of {len(again)} sent again with their key, answered with another job", 0, others),
    ]


def _jobs(evidence: Evidence) -> list[Check]:
    jobs = {job.id: job for job in evidence.record.jobs}
    accepted = {ids[0] for ids in evidence.answers.jobs.values()}
    items = Counter(job.media_item_id for job in jobs.values())
    closed = [job for job in jobs.values() if job.closed]
    failed = Counter(job.failed_reason or "no reason" for job in closed if job.status == JobStatus.FAILED)
    return [
        equal("jobs completed", len(accepted), len(closed) - failed.total()),
        equal("jobs failed, by reason", NONE, _counted(failed)),
        equal("jobs lost: accepted and not on record", 0, len(accepted - jobs.keys())),
        equal("jobs lost: on record and not closed", 0, len(jobs) - len(closed)),
        equal("jobs beyond one a request", 0, len(jobs) - len(items)),
        equal("operations of completed jobs without a result", 0, _missing(evidence)),
        equal("media items that show another status than their job", 0, _differing(jobs.values())),
        equal("jobs of which an attempt failed", 0, len(_tried(jobs.values()))),
        shown("jobs by deaths of workers counted", _counted(Counter(job.deaths for job in closed))),
    ]


def _calls(evidence: Evidence) -> list[Check]:
    runs = evidence.record.runs
    bill = Bill.of(evidence)
    unsure = possibly_billed(evidence)
    unexplained = sum(rows for (state, _), rows in unsure.items() if state not in EXPLAINED)
    return [
        equal("calls begun although their answer was on record", 0, len(repeated(runs))),
        equal("calls billed long after their operation's result", 0, bill.billed_late(result_times(runs))),
        equal("billed calls without a cost row of their own", 0, bill.unrecorded()),
        equal("cost rows at odds with the stand-in's bill, job by job", 0, len(bill.faults())),
        shown("cost rows that are possibly billed", unsure.total()),
        equal("of them neither unanswered nor cut off", 0, unexplained),
    ]


def _parts(evidence: Evidence) -> list[Check]:
    real = sum(one.took_effect for one in evidence.course.struck)
    # Workers, RQ's own and ours, end where Redis is away when they start; who keeps them starts them again.
    ends = {name: times for name, times in evidence.own_ends.items() if name.startswith("serve")}
    of_workers = {name: times for name, times in evidence.own_ends.items() if name not in ends}
    return [
        equal("faults that were seen to take effect", len(evidence.plan.faults), real),
        equal("services that ended although nothing struck them", NONE, _counted(ends)),
        shown("workers that ended by themselves", _counted(of_workers)),
        equal("jobs that the queues show as open or failed", NONE, _counted(evidence.queued)),
    ]


def _differing(jobs: Iterable[Job]) -> int:
    return sum(job.closed and job.media_status != job.status for job in jobs)


def _tried(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs that used up an attempt: all that goes wrong here is to be outlasted."""
    return [job for job in jobs if job.attempts > 1]


def _cause(stacktrace: Sequence[str]) -> str:
    """Return the error in the first traceback, and the line of mediaq's that it came through last."""
    if not stacktrace:
        return "what is not on record"
    places = _FRAME.findall(stacktrace[0])
    return stacktrace[0].rstrip().splitlines()[-1] + (f" ({':'.join(places[-1])})" if places else "")


def _missing(evidence: Evidence) -> int:
    """Return how many operations that completed jobs take have no result on record."""
    there = result_times(evidence.record.runs).keys()
    jobs = {job.media_item_id: job for job in evidence.record.jobs if job.status == JobStatus.COMPLETED}
    wanted: Iterable[tuple[str, str]] = (
        (jobs[order.media_item].id, operation)
        for order in evidence.plan.orders
        if order.media_item in jobs
        for operation in order.operations
    )
    return sum(one not in there for one in wanted)


def _counted(counts: Mapping[Any, int]) -> str:
    """Return counts as `a: 1, b: 2`, the keys in their order."""
    return ", ".join(f"{what}: {number}" for what, number in sorted(counts.items(), key=str)) or NONE
