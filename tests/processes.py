"""Ending processes with all that they started."""

from contextlib import suppress

import psutil


def kill_family(pid: int) -> None:
    """Kills a process and its children; any of them may end by itself meanwhile."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        children = parent.children(recursive=True)
        # The parent first: it would start others in their place.
        for process in (parent, *children):
            with suppress(psutil.NoSuchProcess):
                process.kill()
