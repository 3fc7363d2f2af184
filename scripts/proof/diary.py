"""What jobs themselves write down: a file that tells the truth also where Redis has forgotten."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen
from rq import get_current_job

VARIABLE = "PROOF_DIARY"


@frozen
class Entry:
    """Something that happened to a job.

    Args:
        what: start or end.
        job: The job's id.
        pid: The process it ran in.
        time: Epoch seconds.
    """

    what: str
    job: str
    pid: int
    time: float


class NoJobError(Exception):
    """A task was called outside of a job."""


def write(what: str) -> None:
    """Append a line; one write, so that lines of several processes do not mix.

    Raises:
        NoJobError: There is no job to write of.
    """
    job = get_current_job()
    if job is None:
        raise NoJobError("only jobs keep the diary")
    line = f"{what} {job.id} {os.getpid()} {time.time()}\n"
    file = os.open(os.environ[VARIABLE], os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@frozen
class Diary:
    """Reads what jobs wrote."""

    path: Path

    def clear(self) -> None:
        """Forget everything."""
        self.path.write_bytes(b"")

    def entries(self) -> list[Entry]:
        """Return what happened, in order."""
        return [_parse(line) for line in self.path.read_text().splitlines()]

    def starts(self) -> list[Entry]:
        """Return the starts, in order."""
        return [entry for entry in self.entries() if entry.what == "start"]

    def started_by(self, pid: int) -> int:
        """Return how many jobs have started in a process."""
        return sum(entry.pid == pid for entry in self.starts())

    def times_started(self, jobs: Iterable[str]) -> Counter[int]:
        """Return how many of the jobs were started how often."""
        counts = Counter(entry.job for entry in self.starts())
        return Counter(counts[job] for job in jobs)

    def started_after(self, moment: float) -> dict[str, float]:
        """Return the seconds from a moment to each job's first start after it."""
        later: dict[str, float] = {}
        for entry in self.starts():
            if entry.time > moment:
                later.setdefault(entry.job, entry.time - moment)
        return later


def _parse(line: str) -> Entry:
    what, job, pid, moment = line.split()
    return Entry(what, job, int(pid), float(moment))
