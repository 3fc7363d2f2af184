"""The worker: one process, or several of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs
import click
from loguru import logger
from redis import Redis
from redis.exceptions import RedisError

from mediaq.commands.processes import Bond, bond_option, run_processes
from mediaq.errors import MediaqError, SettingsError
from mediaq.fields import parse_concurrency
from mediaq.logs import setup_logs
from mediaq.queue.options import Options
from mediaq.settings import Settings, load_settings
from mediaq.settings import Worker as WorkerSettings
from mediaq.sockets import listen
from mediaq.worker import AsyncWorker, Show, read_options, show_as_set


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
@bond_option
def worker(queues: dict[str, int | None], processes: int, burst: bool, bond: Bond | None) -> None:
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
            command, listener = _command(queues, burst=burst), _listen(settings.worker)
            sys.exit(asyncio.run(run_processes(command, processes, restart=not burst, listener=listener)))
        if bond is not None:
            bond.end_with_parent()
        # As RQ's own command does, so that the same functions are found.
        sys.path.append(str(Path.cwd()))
        logging.getLogger("rq.worker").setLevel(logger.level(settings.logs.level).no)
        show = show_as_set(settings.worker) if bond is None else _show_among(bond)
        _work(list(queues) or settings.queues.names(), redis, options, show, burst=burst)


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


def _listen(settings: WorkerSettings) -> socket.socket | None:
    if not settings.metrics_port:
        return None
    return listen(settings.metrics_host, settings.metrics_port, "worker.metrics_port")


def _show_among(bond: Bond) -> Show | None:
    if bond.listener is None:
        return None
    from mediaq.telemetry.page import showing_all

    return partial(showing_all, bond.listener, bond.crew)


def _work(queues: list[str], redis: Redis, options: Options, show: Show | None, *, burst: bool) -> None:
    try:
        AsyncWorker(queues, connection=redis, options=options, show=show).work(burst=burst)
    except RedisError as error:
        raise MediaqError(f"Redis cannot be used: {error}") from error
