"""Serves the stand-in on 127.0.0.1 until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import click
import uvicorn

from mediaq.embedded.standin.app import create_app
from mediaq.embedded.standin.invocations import Limits

HOST = "127.0.0.1"
GRACE_SECONDS = 3
# Longer than clients keep idle connections, so that none is closed under a request just being sent.
KEEP_ALIVE_SECONDS = 75


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            click.echo(f"AWS stand-in ready on http://{HOST}:{port}")


@click.command()
@click.option("--port", type=int, default=0, show_default=True, help="TCP port; 0 takes a free one.")
@click.option("--s3-url", required=True, help="Address of the S3 that holds the media.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="File or folder that keeps the ledger and the jobs."
)
@click.option(
    "--seconds-per-state", type=float, default=0.3, show_default=True, help="Pace of asynchronous jobs."
)
@click.option(
    "--rate",
    "rates",
    metavar="OPERATION=CALLS",
    multiple=True,
    help="Calls per second of an operation beyond which it is throttled, as DetectLabels=5; repeatable.",
)
@click.option(
    "--queue",
    "queues",
    metavar="NAME",
    multiple=True,
    help="An SQS queue that notices of jobs' ends go to; repeatable.",
)
def main(
    port: int,
    s3_url: str,
    data: Path | None,
    seconds_per_state: float,
    rates: tuple[str, ...],
    queues: tuple[str, ...],
) -> None:
    """Serve the AWS stand-in."""
    # uvicorn raises the signal again once it has shut down, to this handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        limits = Limits(rates=dict(map(_read_rate, rates)))
        app = create_app(
            s3_url=s3_url, seconds_per_state=seconds_per_state, data=data, limits=limits, queues=queues
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rate") from None
    config = uvicorn.Config(
        app,
        host=HOST,
        port=port,
        log_level="error",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _Server(config).run()


def _read_rate(text: str) -> tuple[str, float]:
    operation, _, rate = text.partition("=")
    return operation, float(rate)


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
