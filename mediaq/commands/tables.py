"""Tables on a terminal, and as wide as need be where there is none."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

# Wide enough for every table where there is no terminal to ask.
PIPED_COLUMNS = 200


def make_table(*columns: str, folded: int = 1) -> Table:
    """Returns an empty table with these columns.

    Args:
        columns: Their headers.
        folded: How many of the last ones are folded on a narrow terminal; the first are what one copies.
    """
    first, last = columns[:-folded], columns[-folded:]
    copied = (Column(name, no_wrap=True) for name in first)
    return Table(*copied, *(Column(name, overflow="fold") for name in last), box=None)


def print_table(table: Table) -> None:
    """Prints a table to standard output."""
    console = Console()
    wide = console if console.is_terminal else Console(width=PIPED_COLUMNS)
    wide.print(table)
