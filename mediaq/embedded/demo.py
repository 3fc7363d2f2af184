"""The demo behind `scripts/demo`: a stack for a moment, jobs of all four types, their results and costs."""

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from time import monotonic

import click
from attrs import evolve
from loguru import logger
from rich.console import Console
from rich.text import Text

from mediaq.embedded.demo_jobs import Order, open_client, plan_orders
from mediaq.embedded.demo_media import Medium, UnknownMediaError, make_samples, recognise
from mediaq.embedded.demo_results import Outcome, print_costs, print_results
from mediaq.embedded.demo_view import showing
from mediaq.embedded.plan import Site, StackInfo, processes
from mediaq.embedded.processes import Process, ProcessFailedError
from mediaq.embedded.signals import cancel_on_signals
from mediaq.embedded.stack import overview, run_stack
from mediaq.model import JobStatus

# What a shell reports of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130
# Columns where the output is no terminal: a row of the cost table stays on one line.
PLAIN_COLUMNS = 160


def _recognise_all(_: click.Context, __: click.Parameter, paths: Sequence[Path]) -> list[Medium]:
    """Look into the files, before anything is started."""
    try:
        return [recognise(path) for path in paths]
    except UnknownMediaError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument(
    "media",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_recognise_all,
)
@click.option("--keep", is_flag=True, help="Leave everything up afterwards, until Ctrl-C.")
def main(media: Sequence[Medium], keep: bool) -> None:
    """Shows mediaq at work: media are uploaded, analysed by all operations there are, and priced.

    FILEs are pictures (JPEG, PNG), videos or texts (UTF-8), whatever their names; without any, samples are
    made. Everything runs on this machine, AWS by a stand-in: no account is needed and nothing is billed.

    The exit status is 0 where all jobs completed.
    """
    console = _open_console()
    try:
        completed = _demonstrate(console, media, keep)
    except ProcessFailedError as error:
        console.print(Text(str(error), "red"), soft_wrap=True)
        sys.exit(1)
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)
    sys.exit(0 if completed else 1)


def _open_console() -> Console:
    """Return the console, to which warnings of the stack go too; libraries' own are not for people."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_COLUMNS
    logger.remove()
    logger.add(
        lambda message: console.print(Text(message.strip(), "yellow")), level="WARNING", format="{message}"
    )
    logging.basicConfig(level=logging.ERROR)
    return console


def _demonstrate(console: Console, media: Sequence[Medium], keep: bool) -> bool:
    """Show everything in a folder that is gone afterwards; tell whether all jobs completed."""
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="mediaq-demo-") as folder:
        data = Path(folder).resolve()
        orders = [order for medium in media or make_samples(data) for order in plan_orders(medium)]
        outcomes = asyncio.run(_run(console, data, orders, keep))
    completed = [state for _, state in outcomes if state.status is JobStatus.COMPLETED]
    console.print(f"{len(completed)} of {len(outcomes)} jobs completed; {monotonic() - began:.1f} s in all.")
    return len(completed) == len(outcomes)


async def _run(console: Console, data: Path, orders: Sequence[Order], keep: bool) -> list[Outcome]:
    if task := asyncio.current_task():
        cancel_on_signals(task)
    async with _started(console, data) as stack:
        outcomes = await _run_jobs(console, stack, orders)
        print_results(console, outcomes)
        print_costs(console, outcomes)
        if keep:
            await _keep_up(console, stack, data)
    return outcomes


@asynccontextmanager
async def _started(console: Console, data: Path) -> AsyncIterator[StackInfo]:
    began = monotonic()
    up: list[str] = []
    console.print("Starting Valkey, Postgres, S3, the AWS stand-in, the service and its worker ...")
    with console.status("") as status:

        def note(name: str) -> None:
            up.append(f"{name} {monotonic() - began:.1f} s")
            status.update(f"Up so far: {', '.join(up)}")

        async with run_stack(data, port=None, plan=partial(_announced_plan, note)) as stack:
            status.stop()
            console.print(f"Started in {monotonic() - began:.1f} s: {', '.join(up)}.\n")
            try:
                yield stack
            finally:
                console.print("Stopping ...")


def _announced_plan(note: Callable[[str], None], site: Site, info: StackInfo) -> list[list[Process]]:
    """Return what a stack consists of, each process such that it is noted when it is up."""
    return [[_announced(process, note) for process in layer] for layer in processes(site, info)]


def _announced(process: Process, note: Callable[[str], None]) -> Process:
    ready = process.ready
    if ready is None:
        return process

    async def ready_and_noted() -> bool:
        if up := await ready():
            note(process.name)
        return up

    return evolve(process, ready=ready_and_noted)


async def _run_jobs(console: Console, stack: StackInfo, orders: Sequence[Order]) -> list[Outcome]:
    """Run all jobs side by side and return how each ended."""
    async with open_client(stack) as client:
        with showing(console, orders) as views:
            pairs = zip(orders, views, strict=True)
            states = await asyncio.gather(*(client.run(order, tell) for order, tell in pairs))
    return list(zip(orders, states, strict=True))


async def _keep_up(console: Console, stack: StackInfo, data: Path) -> None:
    console.print(overview(data, stack))
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
