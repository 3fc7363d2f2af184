"""Commands that run to their end."""

import subprocess
from collections.abc import Mapping


class CommandFailedError(Exception):
    """A command could not be started or ended with an error; the message says which and why."""


def run_command(*command: str, variables: Mapping[str, str] | None = None) -> str:
    """Run a command; return what it printed.

    Args:
        command: Program and arguments.
        variables: All its environment variables; this process's unless told.

    Raises:
        CommandFailedError: It could not be started, or its exit status was not 0.
    """
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise CommandFailedError(f"{command[0]} could not be started: {error}") from error
    if done.returncode:
        raise CommandFailedError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout
