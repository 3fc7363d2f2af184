"""Where peers are measured: the server, and the programs of one peer that run against it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from redis import Redis

from bench.commands import run_command
from bench.environments import Environment
from bench.given import CONCURRENCY_VARIABLE, URL_VARIABLE
from bench.peer import Peer
from bench.stamps import VARIABLE as STAMPS_VARIABLE
from bench.worker import Worker, started
from mediaq.embedded import leftovers

# Seconds between two looks at how many jobs have finished.
POLL = 0.005
_PATIENCE = 30.0
_TAIL_LINES = 20
_IMPORTED_FROM = Path(__file__).parents[1]


class StalledError(Exception):
    """A peer's worker does not get on; the message holds the end of its log."""


@frozen
class Stage:
    """One peer on the server.

    Args:
        peer: Who is measured.
        environment: What starts its programs.
        redis: A client of the server.
        url: The server's URL.
        folder: For logs and for the stamps of jobs.
    """

    peer: Peer
    environment: Environment
    redis: Redis
    url: str
    folder: Path

    @property
    def stamps(self) -> Path:
        """The file in which jobs record how long they were under way."""
        return self.folder / "stamps"

    @property
    def _log(self) -> Path:
        return self.folder / "worker.log"

    def clear(self) -> None:
        """Empty the server, and wait until the memory is free: by default the server says so before."""
        self.redis.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
        self.stamps.unlink(missing_ok=True)

    def finished(self, total: int) -> int:
        """Return how many of so many jobs have their result on record."""
        return self.peer.finished(self.redis, total)

    def fill(self, job: str, count: int) -> None:
        """Enqueue `count` jobs as fast as the peer can."""
        self.produce("fill", job, str(count))

    def produce(self, *arguments: str) -> str:
        """Run the peer's producer to its end; return what it printed."""
        command = [self.environment.command, *self.peer.produce_arguments, *arguments]
        return run_command(*command, variables=self._variables(1))

    @contextmanager
    def working(self, concurrency: int) -> Iterator[Worker]:
        """Run one worker while the block runs."""
        arguments = [argument.format(concurrency=concurrency) for argument in self.peer.worker]
        command = [self.environment.command, *arguments]
        with self._log.open("wb") as log, started(command, self._variables(concurrency), log) as worker:
            yield worker

    def wait(self, until: Callable[[], bool], *, seconds: float = _PATIENCE) -> None:
        """Wait for a worker to reach something.

        Raises:
            StalledError: It did not in so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                log = "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
                raise StalledError(f"{self.peer.title} does not get on; the end of its worker's log:\n{log}")
            time.sleep(POLL)

    def _variables(self, concurrency: int) -> dict[str, str]:
        return {
            **os.environ,
            **self.environment.variables,
            "PYTHONPATH": str(_IMPORTED_FROM),
            URL_VARIABLE: self.url,
            "RQ_REDIS_URL": self.url,
            CONCURRENCY_VARIABLE: str(concurrency),
            STAMPS_VARIABLE: str(self.stamps),
            leftovers.MARK: str(self.folder.resolve()),
        }


def read_timing(printed: str) -> float:
    """Return the jobs a second that a producer printed."""
    timing: dict[str, Any] = json.loads(printed)
    return float(timing["jobs"] / timing["seconds"])
