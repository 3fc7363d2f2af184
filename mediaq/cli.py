"""The command line: `mediaq up | serve | worker | migrate | submit | watch | jobs | costs | budgets | …`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from mediaq.errors import MediaqError, reason_of

# Each command, and the module of mediaq.commands that has it: a worker is small, since it imports no other.
COMMANDS = {
    "budgets": "budgets",
    "config": "settings",
    "costs": "costs",
    "env": "stack",
    "jobs": "record",
    "migrate": "record",
    "openapi": "document",
    "operations": "catalog",
    "purge": "record",
    "serve": "service",
    "standin": "stack",
    "submit": "api",
    "token": "token",
    "up": "stack",
    "watch": "api",
    "worker": "worker",
}


class Commands(click.Group):
    """Commands whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Returns the command of that name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"mediaq.commands.{COMMANDS[cmd_name]}"), cmd_name)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mediaq")
def cli() -> None:
    """Media analysis jobs on plain RQ queues."""


def main() -> None:
    """Runs the command line; an error that a person can mend is one line, without a traceback."""
    try:
        cli()
    except MediaqError as error:
        _give_up(str(error))
    except OSError as error:
        _give_up(f"a server cannot be used: {reason_of(error)}")


def _give_up(reason: str) -> NoReturn:
    print(f"mediaq: {reason}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
