"""The figures as tables."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from proof.checks import Check
from proof.scenario import Scenario

# Where the output is no terminal: every table stays in one piece.
PIPED_COLUMNS = 150


def open_console() -> Console:
    """Return the console that tables are printed on."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    return console


def print_scenario(console: Console, scenario: Scenario, checks: Sequence[Check], seconds: float) -> None:
    """Print what came of one scenario."""
    print_checks(console, f"{scenario.name}: {scenario.title}", checks)
    print_verdict(console, scenario.name, checks, seconds)


def print_checks(console: Console, title: str, checks: Sequence[Check]) -> None:
    """Print figures beside what is wanted of them."""
    table = Table(title=title, title_justify="left", box=box.MARKDOWN)
    table.add_column("")
    for heading in ("wanted", "measured"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("")
    for check in checks:
        verdict = ("PASS" if check.passed else "FAIL") if check.wanted else ""
        table.add_row(check.what, check.wanted, check.measured, verdict)
    console.print(table)


def print_verdict(console: Console, name: str, checks: Sequence[Check], seconds: float) -> None:
    """Print whether all is as wanted."""
    passed = all(check.passed for check in checks)
    console.print(f"{'PASS' if passed else 'FAIL'} {name}, {seconds:.0f} s\n")
