"""The figures as tables."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from proof.checks import Check
from proof.scenario import Scenario


def print_scenario(console: Console, scenario: Scenario, checks: Sequence[Check], seconds: float) -> None:
    """Print what came of one scenario."""
    table = Table(title=f"{scenario.name}: {scenario.title}", title_justify="left", box=box.MARKDOWN)
    table.add_column("")
    for heading in ("wanted", "measured"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("")
    for check in checks:
        verdict = ("PASS" if check.passed else "FAIL") if check.wanted else ""
        table.add_row(check.what, check.wanted, check.measured, verdict)
    console.print(table)
    passed = all(check.passed for check in checks)
    console.print(f"{'PASS' if passed else 'FAIL'} {scenario.name}, {seconds:.0f} s\n")
