"""A running worker: what it uses, and how it ends."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import psutil
from attrs import frozen

from mediaq.embedded import leftovers

_GRACE = 3.0


@frozen
class Worker:
    """The process that was started, and all that it started."""

    process: "subprocess.Popen[bytes]"

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have used, with children that have ended."""
        return sum(self._each(lambda process: sum(process.cpu_times()[:4])))

    def resident_bytes(self) -> int:
        """Return the resident memory of its largest process: a forked child shares its parent's."""
        return int(max(self._each(lambda process: process.memory_info().rss), default=0))

    def _each(self, look: Callable[[psutil.Process], float]) -> Iterator[float]:
        for process in [psutil.Process(self.process.pid), *leftovers.descendants(self.process.pid)]:
            with suppress(psutil.NoSuchProcess):
                yield look(process)


@contextmanager
def started(command: Sequence[str], variables: Mapping[str, str], log: IO[bytes]) -> Iterator[Worker]:
    """Run a worker while the block runs; then end it and what it started, politely first."""
    process = subprocess.Popen(  # noqa: S603
        command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    try:
        yield Worker(process)
    finally:
        children = leftovers.descendants(process.pid)
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        leftovers.kill(children)
