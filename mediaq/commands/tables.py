"""Tables on a terminal, and as wide as need be where there is none."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

# Wide enough for every table where there is no terminal to ask.
PIPED_COLUMNS = 200


def make_table(*columns: str) -> Table:
    """Returns an empty table with these columns."""
    # The first columns are what one copies: they are not cut on a narrow terminal; the last may be folded.
    *first, last = columns
    return Table(*(Column(name, no_wrap=True) for name in first), Column(last, overflow="fold"), box=None)


def print_table(table: Table) -> None:
    """Prints a table to standard output."""
    console = Console()
    console.print(table, width=None if console.is_terminal else PIPED_COLUMNS)
