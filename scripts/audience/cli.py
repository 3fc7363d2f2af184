"""The command line."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from audience.jobs import accept_one, run_all
from audience.stage import Stage, running
from bench.measures.latency import percentile
from mediaq.resources import open_resources
from mediaq.settings import load_settings

# Seconds after the last job within which its listener must have heard of it.
_PATIENCE = 30.0


@click.command()
@click.option(
    "--listeners", default=2000, show_default=True, type=click.IntRange(1), help="Streams, one a job."
)
@click.option("--rate", default=50.0, show_default=True, help="Jobs that end a second.")
def main(listeners: int, rate: float) -> None:
    """Measures how soon the listeners of one service process hear that their jobs have ended.

    A latency is from the moment at which the job's end is sent to Postgres until its listener, in another
    process, has read it. Prints JSON; the exit status is 1 where an end was not heard of.
    """
    with tempfile.TemporaryDirectory(prefix="mediaq-audience-") as folder, running(Path(folder)) as stage:
        os.environ |= stage.env
        figures = asyncio.run(_measure(stage, listeners, rate))
    print(json.dumps(figures, indent=2))
    sys.exit(figures["unheard"] > 0)


async def _measure(stage: Stage, listeners: int, rate: float) -> dict[str, float]:
    async with open_resources(load_settings()) as resources:
        jobs = [await accept_one(resources) for _ in range(listeners)]
        empty = stage.resident()
        with _listening(stage, jobs) as process:
            _expect(await asyncio.to_thread(process.stdout.readline), "open")
            opened, cpu = stage.resident(), stage.cpu()
            ended = await run_all(resources, jobs, rate)
            output, _ = await asyncio.to_thread(process.communicate, timeout=_PATIENCE)
        heard = {job: time for job, time in (line.split() for line in output.splitlines()) if time != "None"}
    seconds = sorted(float(heard[job]) - ended[job] for job in heard)
    span = max(ended.values()) - min(ended.values())
    return {
        "listeners": listeners,
        "ends_a_second": round((len(jobs) - 1) / span, 1) if span else 0,
        "unheard": len(jobs) - len(heard),
        "latency_p50_ms": round(percentile(seconds, 50) * 1e3, 1),
        "latency_p99_ms": round(percentile(seconds, 99) * 1e3, 1),
        "latency_most_ms": round(seconds[-1] * 1e3, 1),
        "resident_mb_without_listeners": round(empty, 1),
        "resident_mb_with_listeners": round(opened, 1),
        "resident_mb_after": round(stage.resident(), 1),
        "cpu_share": round((stage.cpu() - cpu) / span, 2) if span else 0,
    }


@contextmanager
def _listening(stage: Stage, jobs: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "audience.listeners", str(stage.port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        process.stdin.write("\n".join([stage.token, *jobs]))
        process.stdin.close()
        # Closed already: `communicate` would flush it.
        process.stdin = None
        yield process
    finally:
        process.kill()
        process.wait()


def _expect(line: str, wanted: str) -> None:
    if line.strip() != wanted:
        raise click.ClickException("the listeners have ended early")
