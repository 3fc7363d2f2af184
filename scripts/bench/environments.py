"""The environments that peers run in: made once, under a folder that git ignores."""

import shutil
import sys
from pathlib import Path

from attrs import frozen

from bench.commands import run_command
from bench.peer import Peer, Runtime

# Written last: an environment without it is unfinished.
_DONE = "installed"


@frozen
class Environment:
    """What starts a peer's programs.

    Args:
        command: The interpreter.
        variables: Environment variables that it needs to find the peer's library.
    """

    command: str
    variables: dict[str, str]


def prepare(peer: Peer, cache: Path) -> Environment:
    """Install what the peer needs, where that is not done yet.

    Raises:
        CommandFailedError: Its runtime is missing, or its packages could not be installed.
    """
    if not peer.packages:
        return Environment(sys.executable, {})
    folder = cache / peer.name
    wanted = "\n".join((sys.version, *peer.packages))
    done = folder / _DONE
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _INSTALLERS[peer.runtime](folder, peer.packages)
        done.write_text(wanted)
    return _ENVIRONMENTS[peer.runtime](folder)


def _install_python(folder: Path, packages: tuple[str, ...]) -> None:
    run_command(sys.executable, "-m", "venv", str(folder))
    run_command(str(_python(folder)), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *packages)


def _install_node(folder: Path, packages: tuple[str, ...]) -> None:
    run_command("npm", "install", "--silent", "--no-save", "--prefix", str(folder), *packages)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


_INSTALLERS = {Runtime.PYTHON: _install_python, Runtime.NODE: _install_node}
_ENVIRONMENTS = {
    Runtime.PYTHON: lambda folder: Environment(str(_python(folder)), {}),
    Runtime.NODE: lambda folder: Environment("node", {"NODE_PATH": str(folder / "node_modules")}),
}
