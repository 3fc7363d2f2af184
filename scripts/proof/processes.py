"""A worker's process: what it is called, and what is done to it."""

import signal
import subprocess
import time
from pathlib import Path

from attrs import frozen

from mediaq.embedded import leftovers


@frozen
class Worker:
    """A worker that was started.

    Args:
        name: What RQ knows it by.
        process: Its process.
        log: What it printed.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def kill(self) -> float:
        """Kill it with SIGKILL, and what it forked; return when."""
        children = leftovers.descendants(self.pid)
        self.process.kill()
        leftovers.kill(children)
        self.process.wait()
        return time.time()

    def stop(self) -> None:
        """Ask it to stop."""
        self.process.terminate()

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def seconds_to_end(self, most: float) -> float:
        """Wait until it has ended; return the seconds that took, or infinity where they were too many."""
        since = time.monotonic()
        try:
            self.process.wait(most)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.monotonic() - since
