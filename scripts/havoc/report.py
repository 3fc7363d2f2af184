"""The run as it goes, and what came of it as tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from havoc.catalog import DEPLOYS, KINDS
from havoc.evidence import Evidence
from havoc.faults import Struck
from havoc.judge import complaints
from havoc.ledger import possibly_billed
from havoc.recovery import Recovery, recoveries
from mediaq import audit
from proof.checks import Check
from proof.report import print_checks

_MOST_COMPLAINTS = 20
_TITLES = {kind.name: kind.title for kind in (*KINDS, DEPLOYS)}
_RECOVERY = """\
Recovery in seconds: median, longest. Next end: from a fault's end until a job ended, if any was open.
Went on: until each job that ran when it struck (on that worker, if it struck one) began or ended a call.
Faults overlap: what one has let go on, another may hold up."""
_LEDGER = "The ledger beside the stand-in's bill: so many calls, and their units"


def print_struck(console: Console, seconds: float, struck: Struck) -> None:
    """Print a line on a fault that is over."""
    where = f" {', '.join(struck.fault.targets)}" if struck.fault.targets else ""
    mark = "" if struck.took_effect else "NO EFFECT: "
    met = f"; jobs under way: {len(struck.met)}" if struck.met else ""
    line = f"{seconds:7.1f} s  {struck.fault.kind}{where}: {mark}{struck.blow.seen}{met}"
    console.print(line, soft_wrap=True)


def print_evidence(console: Console, title: str, evidence: Evidence, checks: Sequence[Check]) -> None:
    """Print what came of a run."""
    console.print()
    _print_recoveries(console, recoveries(evidence.course.struck, evidence.record))
    _print_ledger(console, evidence)
    _print_possibly_billed(console, evidence)
    print_checks(console, title, checks)
    wrong = complaints(evidence)
    for sentence in islice(wrong, _MOST_COMPLAINTS):
        console.print(f"- {sentence}", soft_wrap=True)
    if further := sum(1 for _ in wrong):
        console.print(f"- and {further} more")


def _print_recoveries(console: Console, found: Sequence[Recovery]) -> None:
    if not found:
        return
    table = _table("fault", "", "times", "next end", "jobs met", "went on")
    for one in found:
        title = _TITLES[one.kind]
        went_on = _spread(one.went_on)
        table.add_row(one.kind, title, str(one.times), _spread(one.next_ends), str(len(one.went_on)), went_on)
    console.print(_RECOVERY, table, sep="\n")


def _print_ledger(console: Console, evidence: Evidence) -> None:
    entries = [cost.entry for cost in evidence.record.costs]
    table = _table("operation", "item", "bill", "billed", "possibly billed", "verdict")
    for line in audit.compare(entries, evidence.record.calls).lines:
        sums = map(_sum, (line.truth, line.billed, line.possible))
        table.add_row(line.operation, line.item, *sums, str(line.verdict))
    console.print(_LEDGER, table, sep="\n")


def _print_possibly_billed(console: Console, evidence: Evidence) -> None:
    unsure = possibly_billed(evidence)
    if not unsure:
        return
    table = _table("state of the call", "reason", "rows")
    for (state, reason), rows in unsure.most_common():
        table.add_row(state, reason, str(rows))
    console.print("Why cost rows are possibly billed", table, sep="\n")


def _table(*headings: str) -> Table:
    table = Table(box=box.MARKDOWN)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _sum(part: audit.Sum) -> str:
    return f"{part.calls}: {part.units.normalize():f}"


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else "-"
