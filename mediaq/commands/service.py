"""The REST service."""

from __future__ import annotations

import click
import uvicorn

from mediaq.logs import setup_logs
from mediaq.service.app import create_app
from mediaq.settings import load_settings

# Seconds that open connections have to end when the service is asked to stop.
GRACE = 10


@click.command()
def serve() -> None:
    """Runs the REST service, with the upkeep of the queues beside it."""
    settings = load_settings()
    setup_logs(settings.logs)
    app = create_app(settings)
    uvicorn.run(
        app,
        host=settings.service.host,
        port=settings.service.port,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )
