"""The figures as tables for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from attrs import frozen
from redis import Redis
from rich import box
from rich.console import Console
from rich.table import Table

from bench.catalog import PEERS
from bench.figures import Figures, Round, medians
from bench.targets import Verdict, judge


@frozen
class Field:
    """One column: its heading, the figures it shows, and their decimals."""

    heading: str
    figures: tuple[str, ...]
    decimals: int = 0


WORKER_FIELDS = (
    Field("jobs/s at 1", ("rate_1",)),
    Field("at 10", ("rate_10",)),
    Field("at 100", ("rate_100",)),
    Field("CPU µs a job", ("cpu_us_10", "cpu_us_1")),
    Field("commands a job", ("commands_10", "commands_1"), 1),
    Field("50 ms jobs/s", ("naps",)),
    Field("start p50 ms", ("latency_p50_ms",), 1),
    Field("p99 ms", ("latency_p99_ms",), 1),
    Field("resident MiB", ("resident_mb_100", "resident_mb_1"), 1),
)
QUEUE_FIELDS = (
    Field("enqueued/s singly", ("single",)),
    Field("50 coroutines", ("gathered",)),
    Field("batches of 500", ("batch",)),
    Field("bytes a queued job", ("queued_bytes",)),
    Field("a finished job", ("finished_bytes",)),
)


def print_report(console: Console, rounds: Sequence[Round]) -> None:
    """Print what was measured and how mediaq stands."""
    of_all = medians(rounds)
    for title, fields in (("Workers", WORKER_FIELDS), ("Queues", QUEUE_FIELDS)):
        console.print(_figures_table(title, fields, of_all))
    if verdicts := [verdict for verdict in judge(rounds) if verdict.value is not None]:
        console.print(_targets_table(verdicts))


def write_json(path: Path, rounds: Sequence[Round], redis: Redis) -> None:
    """Write everything, each round included, and what it was measured on."""
    content = {
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "server": redis.info("server").get("valkey_version"),
        "packages": {peer.name: peer.packages or _own_packages() for peer in PEERS},
        "medians": medians(rounds),
        "rounds": rounds,
        "targets": [
            {"target": one.target.title, "limit": one.target.limit, "value": one.value, "passed": one.passed}
            for one in judge(rounds)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _own_packages() -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in ("mediaq", "rq", "redis", "hiredis")]


def _figures_table(title: str, fields: Sequence[Field], of_all: Mapping[str, Figures]) -> Table:
    table = Table(title=title, title_justify="left", box=box.MARKDOWN)
    table.add_column("")
    for field in fields:
        table.add_column(field.heading, justify="right")
    for peer in PEERS:
        if peer.name in of_all:
            table.add_row(peer.title, *(_show(field, of_all[peer.name]) for field in fields))
    return table


def _show(field: Field, figures: Figures) -> str:
    for name in field.figures:
        if name in figures:
            return f"{figures[name]:,.{field.decimals}f}"
    return "–"  # noqa: RUF001 -- the sign for nothing


def _targets_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Targets", title_justify="left", box=box.MARKDOWN)
    table.add_column("mediaq")
    for heading in ("wanted", "measured", ""):
        table.add_column(heading, justify="right")
    for one in verdicts:
        sign = "≤" if one.target.most else "≥"
        outcome = "pass" if one.passed else "falls short"
        table.add_row(one.target.title, f"{sign} {one.target.limit:,g}", f"{one.value:,.2f}", outcome)
    return table
