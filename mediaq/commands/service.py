"""The REST service."""

from __future__ import annotations

import sys
from contextlib import nullcontext, suppress

import click

from mediaq.logs import setup_logs
from mediaq.service.app import create_app
from mediaq.service.server import Server
from mediaq.settings import load_settings
from mediaq.worker import working

# Seconds that open connections have to end when the service is asked to stop.
GRACE = 10
# The exit status where it cannot start, as uvicorn has it.
NOT_STARTED = 3


@click.command()
@click.option(
    "--with-worker", is_flag=True, help="Run jobs as well: for development and small installations."
)
def serve(with_worker: bool) -> None:
    """Runs the REST service, with the upkeep of the queues beside it."""
    settings = load_settings()
    setup_logs(settings.logs)
    app = create_app(settings)
    with working(settings) if with_worker else nullcontext():
        server = Server(
            app,
            host=settings.service.host,
            port=settings.service.port,
            timeout_graceful_shutdown=GRACE,
        )
        with suppress(KeyboardInterrupt):
            server.run()
    if not server.started:
        sys.exit(NOT_STARTED)
