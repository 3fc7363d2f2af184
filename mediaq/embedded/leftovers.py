"""What a killed supervisor leaves behind: its children are on record in its folder, and are ended.

`python -m mediaq.embedded.leftovers FOLDER` is the guard: it waits for the end of its standard input, which
the supervisor holds open, and then ends them. Should the guard be killed, the folder's next start does it.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil
from attrs import asdict, frozen

MARK = "SUPERVISED_BY_MEDIAQ_FROM"
_RECORD = "processes.json"
# Seconds by which a process's time of creation may shift when the clock is set.
_CLOCK_SHIFT = 2.0
_GRACE = 5.0
_POLL = 0.02


@frozen
class Started:
    """A child as it is on record: enough to know it again, for the system reuses process ids."""

    name: str
    pid: int
    created: float
    stop_signal: int


def observe(name: str, pid: int, stop_signal: signal.Signals) -> Started | None:
    """Return the record of a child that just started, or None where it has ended already."""
    process = _process(pid)
    return Started(name, pid, process.create_time(), stop_signal) if process else None


def record(folder: Path, children: Iterable[Started]) -> None:
    """Replace the folder's record by these children."""
    draft = folder / f"{_RECORD}.draft"
    draft.write_text(json.dumps([asdict(child) for child in children]))
    draft.rename(folder / _RECORD)


def end(folder: Path, *, grace: float) -> list[str]:
    """End every process that was started from the folder, with all its descendants.

    A process is one of them if it is on record with its time of creation, or carries the folder's mark in
    its environment: servers overwrite their own, orphans of a killed worker are on no record.

    Args:
        folder: The supervisor's folder, resolved.
        grace: Seconds between the polite signal and SIGKILL.

    Returns:
        The names of the programs that were still running.
    """
    found = dict.fromkeys(_marked(folder), signal.SIGTERM) | _recorded(folder)
    tree = {*found, *(child for process in found for child in descendants(process.pid))}
    names = sorted(_name(process) for process in tree if alive(process))
    for process, signum in found.items():
        _send(process, signum)
    _wait(tree, grace)
    kill(tree)
    return names


def descendants(pid: int) -> list[psutil.Process]:
    """Return a process's children, their children and so on; none where it has ended."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill those of the processes that are still there, and wait until they are gone."""
    remaining = [process for process in processes if alive(process)]
    for process in remaining:
        _send(process, signal.SIGKILL)
    _wait(remaining, _GRACE)


def alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that ended and waits for its parent to notice does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _recorded(folder: Path) -> dict[psutil.Process, signal.Signals]:
    try:
        children = [Started(**entry) for entry in json.loads((folder / _RECORD).read_text())]
    except (FileNotFoundError, ValueError):  # a power cut may leave it empty; nothing runs after one
        return {}
    return {
        process: signal.Signals(child.stop_signal)
        for child in children
        if (process := _process(child.pid)) and abs(process.create_time() - child.created) < _CLOCK_SHIFT
    }


def _marked(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _mark(process) == str(folder)]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _mark(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):  # gone, or another user's
        return None
    return mark


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return "?"


def _wait(processes: Collection[psutil.Process], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL)


def _send(process: psutil.Process, signum: signal.Signals) -> None:
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        return


def main() -> None:
    """Wait until the supervisor is gone, then end what it left."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    os.read(sys.stdin.fileno(), 1)
    end(Path(sys.argv[1]), grace=_GRACE)


if __name__ == "__main__":
    main()
