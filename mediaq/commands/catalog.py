"""What mediaq can do."""

from __future__ import annotations

import click

from mediaq.commands.tables import make_table, print_table
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.parameters import Parameters


@click.command()
def operations() -> None:
    """Lists what each job type can do, and what may be said of it."""
    table = make_table("job type", "operation", "result", "parameters")
    for pipeline in PIPELINES.values():
        for operation in pipeline.operations:
            parameters = ", ".join(_names(operation.parameters))
            table.add_row(pipeline.queue, operation.name, operation.result, parameters)
    print_table(table)


def _names(parameters: type[Parameters] | None) -> tuple[str, ...]:
    return parameters.__struct_encode_fields__ if parameters else ()
