"""The command line."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from redis import Redis
from rich.console import Console
from rich.text import Text

from bench.catalog import PEERS
from bench.commands import CommandFailedError
from bench.effort import FULL, QUICK
from bench.environments import Environment, prepare
from bench.peer import Peer
from bench.plan import measure_round
from bench.report import print_report, write_json
from bench.server import running_server
from bench.stage import Stage

CACHE = Path(__file__).parents[2] / ".bench"
# Where the output is no terminal: every table stays in one piece.
PIPED_COLUMNS = 170


def _choose(_: click.Context, __: click.Parameter, names: str | None) -> list[Peer]:
    by_name = {peer.name: peer for peer in PEERS}
    wanted = names.split(",") if names else list(by_name)
    if unknown := [name for name in wanted if name not in by_name]:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


@click.command()
@click.option("--only", "peers", metavar="NAME,…", callback=_choose, help="Measure these alone.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Take medians of so many."
)
@click.option("--quick", is_flag=True, help="One short round: to see that it works, not to compare.")
@click.option(
    "--json",
    "json_file",
    default=CACHE / "figures.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where all figures go.",
)
def main(peers: Sequence[Peer], rounds: int, quick: bool, json_file: Path) -> None:
    """Measures mediaq and other job queues, in turn on one Valkey server, with each library's defaults.

    In every round each thing is measured for one peer after the other, so that ratios are of the same minute
    of the machine; they are what counts. No uvloop; hiredis for all in Python. RQ runs plain functions, one
    job at a time; all others run coroutines.
    """
    console, progress = _open_consoles()
    prepared = list(_prepare(progress, peers))
    with (
        tempfile.TemporaryDirectory(prefix="mediaq-bench-") as folder,
        _serving(Path(folder)) as (url, redis),
    ):
        stages = [Stage(*one, redis, url, Path(folder)) for one in prepared]
        if quick:
            measured = [measure_round(progress, 1, stages, QUICK)]
        else:
            measured = [measure_round(progress, number + 1, stages, FULL) for number in range(rounds)]
        write_json(json_file, measured, redis)
    print_report(console, measured)
    console.print(f"All figures: {json_file}", soft_wrap=True)


def _open_consoles() -> tuple[Console, Console]:
    """Return one for the report and one for what goes on meanwhile."""
    consoles = Console(markup=False, highlight=False), Console(markup=False, highlight=False, stderr=True)
    for console in consoles:
        if not console.is_terminal:
            console.width = PIPED_COLUMNS
    return consoles


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[str, Redis]]:
    with running_server(folder) as url, Redis.from_url(url) as redis:
        yield url, redis


def _prepare(progress: Console, peers: Sequence[Peer]) -> Iterator[tuple[Peer, Environment]]:
    """Install what is missing; a peer for which that cannot be done is left out."""
    for peer in peers:
        try:
            yield peer, prepare(peer, CACHE)
        except CommandFailedError as error:
            progress.print(Text(f"Without {peer.title}: {error}", "yellow"))
