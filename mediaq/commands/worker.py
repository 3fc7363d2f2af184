"""The worker: one process, or several of them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import attrs
import click
from loguru import logger
from redis import Redis
from redis.exceptions import RedisError

from mediaq.commands.processes import run_processes
from mediaq.errors import MediaqError, SettingsError
from mediaq.fields import parse_concurrency
from mediaq.logs import setup_logs
from mediaq.queue.options import Options
from mediaq.settings import Settings, load_settings
from mediaq.worker import AsyncWorker, read_options


def _read_choices(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, int | None]:
    chosen: dict[str, int | None] = {}
    for choice in given:
        if not choice or "," in choice:
            raise click.BadParameter("the name of one queue is wanted; -q may be repeated", ctx, param)
        try:
            chosen |= parse_concurrency(choice) if "=" in choice else {choice: None}
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return chosen


@click.command()
@click.option(
    *("-q", "--queue", "queues"),
    multiple=True,
    metavar="QUEUE[=N]",
    callback=_read_choices,
    help="A queue to serve, and how many of its jobs at once; without any: all of mediaq's.",
)
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="To use more cores.")
@click.option("--burst", is_flag=True, help="End when there is nothing left to do.")
@click.option("--lifeline", type=int, hidden=True, help="A pipe that closes when the parent process is gone.")
def worker(queues: dict[str, int | None], processes: int, burst: bool, lifeline: int | None) -> None:
    """Runs jobs, many at once in one process.

    At SIGTERM or SIGINT running jobs have worker.grace seconds to end in; then, or at a second signal, they
    are handed back to their queues. Of several processes, one that dies is started again, but not with
    --burst; the exit status is 0 if all ended well.
    """
    settings = load_settings()
    options = _choose_options(settings, queues)
    with _open_redis(settings.redis.url) as redis:
        setup_logs(settings.logs)
        if processes > 1:
            sys.exit(asyncio.run(run_processes(_command(queues, burst=burst), processes, restart=not burst)))
        if lifeline is not None:
            _end_with(lifeline)
        # As RQ's own command does, so that the same functions are found.
        sys.path.append(str(Path.cwd()))
        logging.getLogger("rq.worker").setLevel(logger.level(settings.logs.level).no)
        _work(list(queues) or settings.queues.names(), redis, options, burst=burst)


def _choose_options(settings: Settings, queues: Mapping[str, int | None]) -> Options:
    options = read_options(settings)
    chosen = {name: jobs for name, jobs in queues.items() if jobs is not None}
    return attrs.evolve(options, concurrency={**options.concurrency, **chosen})


def _open_redis(url: str) -> Redis:
    try:
        return Redis.from_url(url)
    except ValueError as error:
        raise SettingsError(f"redis.url: {error}") from None


def _command(queues: Mapping[str, int | None], *, burst: bool) -> list[str]:
    # -P: as for the command that is installed, the current folder does not come first in the path.
    command = [sys.executable, "-P", "-m", "mediaq.cli", "worker", *(["--burst"] if burst else [])]
    return [*command, *(f"--queue={name}" + (f"={jobs}" if jobs else "") for name, jobs in queues.items())]


def _work(queues: list[str], redis: Redis, options: Options, *, burst: bool) -> None:
    try:
        AsyncWorker(queues, connection=redis, options=options).work(burst=burst)
    except RedisError as error:
        raise MediaqError(f"Redis cannot be used: {error}") from error


def _end_with(lifeline: int) -> None:
    """Asks this process to stop when its parent is gone, which alone holds the other end of the pipe."""
    os.set_inheritable(lifeline, False)

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
