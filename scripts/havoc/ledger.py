"""The ledger and the stand-in's bill, job by job: every job has media of its own, which its calls name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import frozen

from havoc.evidence import Evidence
from havoc.record import Cost, Run
from mediaq import audit
from mediaq.model import Certainty

# What may have become of a call that stands as possibly billed: its answer was lost, or its worker was.
EXPLAINED = ("unanswered", "started")
# Seconds within which a call that was begun is billed: longer than any fault delays it.
LONGEST_CALL = 15.0
NEVER = float("inf")
NOBODY = "no job"
# Where the call went, in what botocore says of its connection: another address for every model and every run.
_ADDRESS = re.compile(r' from endpoint URL: "[^"]*"')

Operation = tuple[str, str]


@frozen
class Bill:
    """Calls and cost rows by the job and the operation that they are for.

    Args:
        calls: What the stand-in bills; what fits no job is for NOBODY.
        costs: The ledger's rows.
    """

    calls: Mapping[Operation, Sequence[audit.Call]]
    costs: Mapping[Operation, Sequence[Cost]]

    @classmethod
    def of(cls, evidence: Evidence) -> Bill:
        """Sort all calls and rows."""
        jobs = {job.media_item_id: job.id for job in evidence.record.jobs}
        about = {
            resource: jobs.get(order.media_item, NOBODY)
            for order in evidence.plan.orders
            for resource in order.resources
        }
        calls: dict[Operation, list[audit.Call]] = {}
        for call in evidence.record.calls:
            calls.setdefault((about.get(call.resource, NOBODY), call.operation), []).append(call)
        costs: dict[Operation, list[Cost]] = {}
        for cost in evidence.record.costs:
            costs.setdefault((cost.entry.job_id, cost.entry.operation), []).append(cost)
        return cls(calls, costs)

    def unrecorded(self) -> int:
        """Return how many billed calls have no row of their own."""
        return sum(max(0, len(calls) - len(self.costs.get(of, ()))) for of, calls in self.calls.items())

    def faults(self) -> list[str]:
        """Return what is wrong with the rows of each operation of each job, a sentence each."""
        return [
            f"job {job}: {fault}"
            for job, operation in sorted({*self.calls, *self.costs})
            for fault in audit.compare(
                [cost.entry for cost in self.costs.get((job, operation), ())],
                self.calls.get((job, operation), ()),
            ).faults
        ]

    def billed_late(self, results: Mapping[Operation, float]) -> int:
        """Return how many calls are billed that cannot have been begun before their result was on record."""
        return sum(
            call.at.timestamp() > results[of] + LONGEST_CALL
            for of, calls in self.calls.items()
            if of in results
            for call in calls
        )


def result_times(runs: Sequence[Run]) -> dict[Operation, float]:
    """Return when the result of each operation of each job was put on record."""
    return {
        (run.job_id, run.operation): run.finished_at
        for run in runs
        if run.state == "succeeded" and run.finished_at is not None
    }


def repeated(runs: Sequence[Run]) -> list[Run]:
    """Return the calls that were begun although their answer, or their operation's result, was on record."""
    results = result_times(runs)
    parts = {_part(run): run.finished_at or NEVER for run in runs if run.state == "part_succeeded"}

    def known(run: Run) -> float:
        return min(results.get((run.job_id, run.operation), NEVER), parts.get(_part(run), NEVER))

    return [run for run in runs if run.started_at > known(run)]


def _part(run: Run) -> tuple[str, str, str]:
    return run.job_id, run.operation, run.part


def possibly_billed(evidence: Evidence) -> Counter[tuple[str, str]]:
    """Return how many rows are possibly billed, by the state of their call and its reason."""
    runs = {run.id: run for run in evidence.record.runs}
    unsure = [cost for cost in evidence.record.costs if cost.entry.certainty is Certainty.POSSIBLY_BILLED]
    return Counter(_story(runs.get(cost.run_id or 0)) for cost in unsure)


def _story(run: Run | None) -> tuple[str, str]:
    if run is None:
        return "none", "there is no call that the row is for"
    return run.state, _ADDRESS.sub("", run.error or "no answer was put on record")
