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
import psutil
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
        _serving_bare(Path(folder) / "bare", stage) as plain,
        _sending(connections, seconds, stage.token) as sender,
    ):
        mediaq = Route(stage.port, _MEDIAQ_PATH, stage.service)
        # What is made at the first request is none of the figures.
        for route in (mediaq, plain):
            sender.send(route)
        pairs = [(sender.send(mediaq), sender.send(plain)) for _ in range(rounds)]
    print(json.dumps({"connections": connections, **_sum_up(pairs)}, indent=2))


@frozen
class Route:
    """What jobs are sent to.

    Args:
        port: Where it listens.
        path: The path.
        process: The process.
    """

    port: int
    path: str
    process: psutil.Process

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has used."""
        times = self.process.cpu_times()
        return times.user + times.system


@frozen
class Turn:
    """What came of a turn.

    Args:
        rate: Jobs that were accepted a second.
        cpu: Seconds of CPU that the process took for one.
    """

    rate: float
    cpu: float


def _sum_up(pairs: list[tuple[Turn, Turn]]) -> dict[str, float]:
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs]
    mediaq, plain = zip(*pairs, strict=True)
    return {
        "ratio_median": round(median(ratios), 3),
        "ratio_least": round(min(ratios), 3),
        "ratio_most": round(max(ratios), 3),
        "mediaq_jobs_a_second": round(median(turn.rate for turn in mediaq)),
        "bare_jobs_a_second": round(median(turn.rate for turn in plain)),
        "mediaq_cpu_ms_a_job": round(median(turn.cpu for turn in mediaq) * 1e3, 3),
        "bare_cpu_ms_a_job": round(median(turn.cpu for turn in plain) * 1e3, 3),
    }


@frozen
class Sender:
    """The process that sends."""

    process: subprocess.Popen[str]
    token: str

    def send(self, route: Route) -> Turn:
        """Send for a turn."""
        before = route.cpu()
        print(route.port, route.path, self.token, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise click.ClickException(f"not all jobs were accepted at {route.path}")
        accepted, seconds = map(float, line.split())
        return Turn(accepted / seconds, (route.cpu() - before) / accepted)


@contextmanager
def _serving_bare(folder: Path, stage: Stage) -> Iterator[Route]:
    port = ports.free_port()
    command = [sys.executable, "-m", "posting.bare", str(port)]
    process = Process("bare", command, env=stage.env, ready=partial(ports.listening, port))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Supervisor(folder)) as supervisor,
    ):
        portal.call(supervisor.start, [process])
        yield Route(port, bare.PATH, psutil.Process(supervisor.child("bare").pid))


@contextmanager
def _sending(connections: int, seconds: float, token: str) -> Iterator[Sender]:
    command = [sys.executable, "-m", "posting.sender", str(connections), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        yield Sender(process, token)
    finally:
        process.kill()
        process.wait()
