"""What mediaq can do."""

from __future__ import annotations

import click

from mediaq.commands.tables import make_table, print_table
from mediaq.pipelines.catalog import PIPELINES


@click.command()
def operations() -> None:
    """Lists what each job type can do."""
    table = make_table("job type", "operation", "result")
    for pipeline in PIPELINES.values():
        for operation in pipeline.operations:
            table.add_row(pipeline.queue, operation.name, operation.result)
    print_table(table)
