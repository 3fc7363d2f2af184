"""The command line."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import httpx
from attrs import frozen
from loguru import logger
from rich.console import Console

from havoc.catalog import KINDS
from havoc.course import Plan, run
from havoc.crew import Crew, Roster, running_crew
from havoc.evidence import Evidence, gather
from havoc.faults import Kind
from havoc.ground import open_ground
from havoc.judge import judge
from havoc.orders import draw_orders
from havoc.report import print_evidence, print_struck
from havoc.schedule import draw_deploys, draw_faults
from havoc.webapp import WebApp, upload
from mediaq.embedded.processes import ProcessFailedError
from mediaq.embedded.signals import cancel_on_signals
from proof.report import open_console, print_verdict

# What a shell reports of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130
# Deaths that a job may have besides one by each fault: a stock worker ends by itself while Redis is away.
SPARE_DEATHS = 20


@frozen
class Wish:
    """What was asked for on the command line."""

    jobs: int
    seconds: float
    seed: int
    faults: int
    kinds: Sequence[Kind]
    deploys: float
    roster: Roster

    def plan(self, bucket: str) -> Plan:
        """Draw what is to happen."""
        faults = draw_faults(self.seed, self.faults, self.seconds, self.kinds, self.roster.roles)
        deploys = draw_deploys(self.deploys, self.seconds, self.roster.all_workers)
        orders = draw_orders(self.seed, self.jobs, self.seconds, bucket)
        return Plan(orders, [*faults, *deploys], self.roster, self.seconds)

    @property
    def deaths(self) -> int:
        """How many workers a job may outlive: nothing here is poison."""
        return self.faults + len(draw_deploys(self.deploys, self.seconds, ())) + SPARE_DEATHS

    def __str__(self) -> str:
        deploys = f", a deploy every {self.deploys:g} s" if self.deploys else ""
        return (
            f"{self.jobs} jobs and {self.faults} faults{deploys} over {self.seconds:g} s, seed {self.seed}, "
            f"{len(self.roster.workers)} AsyncWorkers and a stock worker"
        )


def _choose(_: click.Context, __: click.Parameter, names: str | None) -> list[Kind]:
    by_name = {kind.name: kind for kind in KINDS}
    wanted = names.split(",") if names else list(by_name)
    if unknown := [name for name in wanted if name not in by_name]:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


@click.command()
@click.option("--jobs", type=click.IntRange(1), default=500, show_default=True, help="Jobs to ask for.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Over how much time requests and faults are spread; then all jobs have five minutes more to end.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same schedule.")
@click.option("--faults", type=click.IntRange(0), default=30, show_default=True, help="How many; 0: none.")
@click.option(
    "--only", "kinds", metavar="KIND,…", callback=_choose, help=", ".join(kind.name for kind in KINDS)
)
@click.option(
    "--deploys",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Ask all workers to stop every so many seconds; 0: never.",
)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="AsyncWorkers.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for what the processes print; by default it is thrown away.",
)
def main(
    jobs: int,
    minutes: float,
    seed: int,
    faults: int,
    kinds: Sequence[Kind],
    deploys: float,
    workers: int,
    logs: Path | None,
) -> None:
    """Runs jobs of all types on the whole system while its parts are killed, frozen, emptied and cut off.

    Valkey, Postgres, S3, the AWS stand-in, two services, AsyncWorkers and a stock worker run as processes of
    their own. A client sends the requests and repeats each with its Idempotency-Key until it is accepted. In
    the end what is on record is compared with what was accepted and with the stand-in's own bill. Ends with
    status 1 where anything is not as wanted.
    """
    wish = Wish(jobs, minutes * 60, seed, faults, kinds, deploys, Roster.of(workers))
    console = open_console()
    try:
        with _folder(logs) as folder:
            evidence = asyncio.run(_play(console, folder, wish))
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)
    except ProcessFailedError as error:
        console.print(f"The run could not begin: {error}", soft_wrap=True)
        sys.exit(1)
    checks = judge(evidence)
    print_evidence(console, f"chaos: {wish}", evidence, checks)
    print_verdict(console, "chaos", checks, evidence.course.seconds)
    sys.exit(0 if all(check.passed for check in checks) else 1)


@contextmanager
def _folder(logs: Path | None) -> Iterator[Path]:
    """Give an empty folder, where what processes print goes to another one if that is wanted."""
    with tempfile.TemporaryDirectory(prefix="mediaq-chaos-") as name:
        folder = Path(name).resolve()
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            (folder / "logs").symlink_to(logs.resolve(), target_is_directory=True)
        yield folder


async def _play(console: Console, folder: Path, wish: Wish) -> Evidence:
    if task := asyncio.current_task():
        cancel_on_signals(task)
    # What the supervisor says of restarts belongs to the logs of what it restarts.
    logger.remove()
    logger.add(folder / "logs" / "supervisor.log", level="INFO")
    console.print(f"{wish}. Starting ...", soft_wrap=True)
    async with running_crew(folder, wish.roster, wish.deaths) as crew:
        plan = wish.plan(crew.info.s3_bucket)
        bucket_url = f"{crew.info.env['AWS_ENDPOINT_URL_S3']}/{crew.info.s3_bucket}"
        await upload(bucket_url, plan.orders)
        return await _run(console, crew, plan)


async def _run(console: Console, crew: Crew, plan: Plan) -> Evidence:
    token = {"Authorization": f"Bearer {crew.info.tokens['user']}"}
    async with open_ground(crew) as ground, httpx.AsyncClient(headers=token, trust_env=False) as http:
        webapp = WebApp(http, crew.services)
        course = await run(ground, webapp, plan, partial(print_struck, console))
        return await gather(ground, plan, course, webapp)
