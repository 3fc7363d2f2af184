"""The command line."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import click
from anyio.from_thread import start_blocking_portal
from attrs import frozen

from audience.stage import Stage, running
from mediaq.embedded import ports
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor
from posting import bare

_MEDIAQ_PATH = "/api/queues/image-processing"


@click.command()
@click.option(
    "--connections", default=16, show_default=True, type=click.IntRange(1), help="Requests under way at once."
)
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1), help="Pairs of turns.")
@click.option("--seconds", default=2.0, show_default=True, help="A turn.")
def main(connections: int, rounds: int, seconds: float) -> None:
    """Measures how many jobs a second a service process accepts, beside a bare route on the same servers.

    The bare route decodes JSON, inserts one row into Postgres and pushes one entry into Redis; it runs under
    the same uvicorn in a process of its own. The two take turns, so that each ratio is of the same seconds of
    the machine; the median of the ratios is what counts. Prints JSON.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mediaq-posting-") as folder,
        running(Path(folder) / "mediaq") as stage,
        _serving_bare(Path(folder) / "bare", stage) as bare_port,
        _sending(connections, seconds) as sender,
    ):
        mediaq = partial(sender.rate, stage.port, _MEDIAQ_PATH, stage.token)
        plain = partial(sender.rate, bare_port, bare.PATH, stage.token)
        # What is made at the first request is none of the figures.
        mediaq(), plain()
        pairs = [(mediaq(), plain()) for _ in range(rounds)]
    ratios = [ours / theirs for ours, theirs in pairs]
    figures = {
        "connections": connections,
        "ratio_median": round(median(ratios), 3),
        "ratio_least": round(min(ratios), 3),
        "ratio_most": round(max(ratios), 3),
        "mediaq_jobs_a_second": round(median(ours for ours, _ in pairs)),
        "bare_jobs_a_second": round(median(theirs for _, theirs in pairs)),
    }
    print(json.dumps(figures, indent=2))


@frozen
class Sender:
    """The process that sends."""

    process: subprocess.Popen[str]

    def rate(self, port: int, path: str, token: str) -> float:
        """Send for a turn; return the jobs that were accepted a second."""
        print(port, path, token, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise click.ClickException(f"not all jobs were accepted at {path}")
        accepted, seconds = map(float, line.split())
        return accepted / seconds


@contextmanager
def _serving_bare(folder: Path, stage: Stage) -> Iterator[int]:
    port = ports.free_port()
    ready = partial(ports.listening, port)
    command = [sys.executable, "-m", "posting.bare", str(port)]
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Supervisor(folder)) as supervisor,
    ):
        portal.call(supervisor.start, [Process("bare", command, env=stage.env, ready=ready)])
        yield port


@contextmanager
def _sending(connections: int, seconds: float) -> Iterator[Sender]:
    command = [sys.executable, "-m", "posting.sender", str(connections), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        yield Sender(process)
    finally:
        process.kill()
        process.wait()
