"""The REST service: one process, or several that share a port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from mediaq.commands.processes import Bond, bond_option, run_processes
from mediaq.errors import MediaqError
from mediaq.logs import setup_logs
from mediaq.service.app import create_app
from mediaq.service.server import Server
from mediaq.settings import Settings, load_settings
from mediaq.sockets import listen
from mediaq.telemetry.crew import Crew
from mediaq.worker import working

# Seconds that open connections have to end when the service is asked to stop.
GRACE = 10
# -P: as for the command that is installed, the current folder does not come first in the path.
COMMAND = (sys.executable, "-P", "-m", "mediaq.cli", "serve")


@click.command()
@click.option(
    *("--workers", "processes"),
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Service processes behind the port, to use more cores.",
)
@click.option(
    "--with-worker",
    is_flag=True,
    help="Run jobs as well: for development and small installations. Not with several --workers.",
)
@bond_option
def serve(processes: int, with_worker: bool, bond: Bond | None) -> None:
    """Runs the REST service, with the upkeep of the queues beside it.

    At SIGTERM or SIGINT it accepts no more connections and answers the requests that it has, for 10 seconds
    at most. Of several processes, one that dies is started again, and the others answer meanwhile.
    """
    if processes > 1 and with_worker:
        raise click.UsageError(
            "--with-worker is for one service process; beside several --workers, run mediaq worker"
        )
    settings = load_settings()
    setup_logs(settings.logs)
    if bond is not None:
        bond.end_with_parent()
        _serve(settings, bond.crew, bond)
    elif processes > 1:
        listener = listen(settings.service.host, settings.service.port, "service.port")
        sys.exit(asyncio.run(run_processes(COMMAND, processes, restart=True, listener=listener)))
    elif with_worker:
        with _crew() as (service, worker), working(settings, worker.answering):
            _serve(settings, service)
    else:
        _serve(settings)


def _serve(settings: Settings, crew: Crew | None = None, bond: Bond | None = None) -> None:
    server = Server(
        create_app(settings, crew=crew),
        host=settings.service.host,
        port=settings.service.port,
        timeout_graceful_shutdown=GRACE,
    )
    with suppress(KeyboardInterrupt):
        server.run(None if bond is None or bond.listener is None else [bond.listener])
    if not server.started:
        raise MediaqError("the service did not start; its log tells why")


@contextmanager
def _crew() -> Iterator[tuple[Crew, Crew]]:
    """Yields what the service and the worker beside it, each with numbers of its own, know each other by."""
    with TemporaryDirectory(prefix="mediaq-") as folder:
        yield Crew(Path(folder), "service"), Crew(Path(folder), "worker")
