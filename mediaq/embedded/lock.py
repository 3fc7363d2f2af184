"""One stack a data folder: a lock that the system takes back when its holder ends, however it ends."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path


class FolderInUseError(Exception):
    """Another process holds the folder; the message says which, since when, and what it does."""


@contextmanager
def lock(folder: Path) -> Iterator[Callable[[str], None]]:
    """Hold a folder; give a function that notes what the holder does, for those who come later.

    Raises:
        FolderInUseError: Another process holds it.
    """
    since = datetime.now().astimezone()
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise FolderInUseError(f"{folder} is in use: {file.read().strip()}") from None

        def note(what: str) -> None:
            file.truncate(0)
            file.write(f"{what} (process {os.getpid()}, since {since:%Y-%m-%d %H:%M:%S})\n")
            file.flush()

        yield note
