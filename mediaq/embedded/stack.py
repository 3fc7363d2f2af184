"""The whole of mediaq on one machine, behind `mediaq up`: runs until it is asked to stop."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from attrs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mediaq.embedded.kept import PortTakenError, keep_ports, keep_secrets, write_privately
from mediaq.embedded.lock import FolderInUseError, lock
from mediaq.embedded.plan import Site, StackInfo, describe, processes
from mediaq.embedded.processes import Process, ProcessFailedError
from mediaq.embedded.signals import cancel_on_signals
from mediaq.embedded.supervisor import Supervisor

Plan = Callable[[Site, StackInfo], list[list[Process]]]


def up(data: Path, port: int | None, worker: bool) -> int:
    """Run a stack in the foreground until SIGINT or SIGTERM, and leave no process behind.

    Args:
        data: The folder of everything that survives a restart; made where it is missing.
        port: The API's port; None keeps that of the last start, where it is free.
        worker: Whether a worker for all queues belongs to the stack.

    Returns:
        The exit status: 0 after a signal, 1 where the stack could not start.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        asyncio.run(_run(data.resolve(), port, partial(processes, worker=worker)))
    except (FolderInUseError, PortTakenError, ProcessFailedError, OSError) as error:
        Console(stderr=True).print(Text(str(error), "red"), soft_wrap=True)
        return 1
    return 0


@asynccontextmanager
async def run_stack(data: Path, *, port: int | None, plan: Plan = processes) -> AsyncIterator[StackInfo]:
    """Run a stack, and write how to reach it to `stack.json` while all of it is up.

    Args:
        data: The folder, which is there, of everything that survives a restart.
        port: The API's port; None keeps that of the last start, where it is free.
        plan: What the stack consists of.

    Raises:
        FolderInUseError: A stack runs on this folder.
        PortTakenError: `port` is another program's.
        ProcessFailedError: A part did not come up.
    """
    info_file = data / "stack.json"
    with lock(data) as note:
        note("a stack is starting or stopping")
        info_file.unlink(missing_ok=True)
        async with Supervisor(data, environment=_environment()) as supervisor:
            site = Site(data, keep_secrets(data), keep_ports(data, api=port))
            info = describe(site)
            for layer in plan(site, info):
                await supervisor.start(layer)
            note(f"a stack runs at {info.api_url}")
            write_privately(info_file, json.dumps(asdict(info), indent=2))
            try:
                yield info
            finally:
                info_file.unlink(missing_ok=True)
                note("a stack is starting or stopping")


def _environment() -> dict[str, str]:
    """Return this process's variables without AWS's: a stack never talks to the developer's own account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


async def _run(data: Path, port: int | None, plan: Plan) -> None:
    running = asyncio.create_task(_show(data, port, plan))
    cancel_on_signals(running)
    with suppress(asyncio.CancelledError):
        await running


async def _show(data: Path, port: int | None, plan: Plan) -> None:
    console = Console()
    with console.status(f"Starting a stack in {data} ...") as status:
        async with run_stack(data, port=port, plan=plan) as info:
            status.stop()
            console.print(overview(data, info))
            try:
                await asyncio.Event().wait()
            finally:
                console.print("Stopping ...")


def overview(data: Path, info: StackInfo) -> Table:
    """Return what a person needs to use a running stack."""
    table = Table(show_header=False, box=None, title="mediaq is up; Ctrl-C stops it", title_justify="left")
    table.add_row("API", info.api_url)
    table.add_row("AWS stand-in", info.aws_endpoint_url)
    table.add_row("S3", f"{info.env['AWS_ENDPOINT_URL_S3']}/{info.s3_bucket}")
    table.add_row("Logs", str(data / "logs"))
    table.add_row("To join", f'eval "$(mediaq env --data {data})"')
    return table
