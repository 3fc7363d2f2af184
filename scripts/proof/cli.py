"""The command line."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from anyio.from_thread import start_blocking_portal
from attrs import evolve
from redis import Redis

from mediaq.embedded.supervisor import Supervisor
from proof.catalog import SCENARIOS
from proof.checks import Check
from proof.effort import QUICK, Effort
from proof.report import open_console, print_scenario
from proof.scenario import Scenario
from proof.server import Server
from proof.stage import Stage, StuckError


def _choose(_: click.Context, __: click.Parameter, names: str | None) -> list[Scenario]:
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    wanted = names.split(",") if names else list(by_name)
    if unknown := [name for name in wanted if name not in by_name]:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


@click.command()
@click.option(
    "--only", "scenarios", metavar="NAME,…", callback=_choose, help=", ".join(one.name for one in SCENARIOS)
)
@click.option("--rounds", type=click.IntRange(1), help="How often workers and servers are killed; 10.")
@click.option("--block", type=float, help="Seconds an event loop is held; 120.")
@click.option("--quick", is_flag=True, help="One round, shorter waits: to see that it works.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for what the processes print; by default it is thrown away.",
)
def main(
    scenarios: Sequence[Scenario], rounds: int | None, block: float | None, quick: bool, logs: Path | None
) -> None:
    """Kills workers and Redis, cuts connections and holds event loops while jobs run, each on real processes.

    Every scenario has a Valkey server with data of its own. The jobs themselves write down when they start
    and end, which is then compared with what Redis holds. Ends with status 1 where anything is not as wanted.
    """
    console = open_console()
    effort = _effort(rounds, block, quick=quick)
    results = []
    for scenario in scenarios:
        since = time.monotonic()
        checks = _play(scenario, effort, logs)
        print_scenario(console, scenario, checks, time.monotonic() - since)
        results.append(all(check.passed for check in checks))
    sys.exit(0 if all(results) else 1)


def _effort(rounds: int | None, block: float | None, *, quick: bool) -> Effort:
    usual = QUICK if quick else Effort()
    return evolve(usual, rounds=rounds or usual.rounds, block=block or usual.block)


def _play(scenario: Scenario, effort: Effort, logs: Path | None) -> Sequence[Check]:
    with _folder(scenario, logs) as folder, _stage(folder, effort) as stage:
        try:
            return scenario.run(stage)
        except StuckError as error:
            return [Check("stuck", "-", str(error), passed=False)]


@contextmanager
def _folder(scenario: Scenario, logs: Path | None) -> Iterator[Path]:
    if logs is not None:
        folder = logs.resolve() / scenario.name
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mediaq-faults-") as folder_name:
        yield Path(folder_name).resolve()


@contextmanager
def _stage(folder: Path, effort: Effort) -> Iterator[Stage]:
    """Run a server; should this process be killed, it ends too, and so do the workers."""
    server = Server(folder)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Supervisor(folder)):
        server.start()
        with Redis.from_url(server.url) as redis:
            stage = Stage(server, redis, folder, effort)
            stage.clear()
            yield stage
