"""The cost ledger: summed up, and compared with what the AWS stand-in would have billed."""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from typing import Any

import click
import httpx
import msgspec

from mediaq import audit
from mediaq.commands.database import with_store
from mediaq.commands.tables import make_table, print_table
from mediaq.errors import MediaqError
from mediaq.model import Certainty
from mediaq.store import costs as ledger

ENDPOINT = "AWS_ENDPOINT_URL"
# Sentences about single calls that are printed at most.
MOST_FAULTS = 20
REAL_AWS = "AWS itself keeps no such list: there, compare with the Cost and Usage Report"


@click.command()
@click.option("--user", help="Only this user's.")
@click.option(
    "--check",
    is_flag=True,
    help=f"Compare with the calls of the AWS stand-in at {ENDPOINT}, while no job runs; the exit status is 1 "
    "where the ledger has less, or bills what the stand-in does not.",
)
def costs(user: str | None, check: bool) -> None:
    """Sums the cost ledger by service, operation and certainty, in US dollars."""
    if not check:
        _print_sums(with_store(lambda store: ledger.summary(store, user)))
    elif user is None:
        _check()
    else:
        raise click.UsageError("--check compares the whole ledger: leave --user out")


def _print_sums(rows: list[dict[str, Any]]) -> None:
    columns = ("service", "operation", "certainty", "calls", "units", "unit", "amount")
    table = make_table(*columns)
    for row in rows:
        table.add_row(*(f"{row[column]}" for column in columns))
    table.add_section()
    for certainty in (Certainty.BILLED, Certainty.POSSIBLY_BILLED):
        amount = sum((row["amount"] for row in rows if row["certainty"] == certainty), Decimal(0))
        table.add_row("", "", certainty, "", "", "total", f"{amount}")
    print_table(table)


def _check() -> None:
    rows = with_store(ledger.entries)
    found = audit.compare(map(audit.Entry.of, rows), _fetch_calls())
    table = make_table("item", "operation", "provider", "billed", "possibly billed", "verdict", folded=4)
    for line in found.lines:
        sums = (_show(part) for part in (line.truth, line.billed, line.possible))
        table.add_row(line.item, line.operation, *sums, str(line.verdict))
    print_table(table)
    print(*found.faults[:MOST_FAULTS], sep="\n", end="\n" if found.faults else "")
    if len(found.faults) > MOST_FAULTS:
        print(f"… and {len(found.faults) - MOST_FAULTS} more")
    print(f"the ledger: {found.verdict}")
    sys.exit(not found.verdict.holds)


def _show(part: audit.Sum) -> str:
    calls = "1 call" if part.calls == 1 else f"{part.calls} calls"
    units = "1 unit" if part.units == 1 else f"{part.units.normalize():f} units"
    return f"{calls}, {units}, ${part.amount.normalize():f}"


def _fetch_calls() -> list[audit.Call]:
    """Asks the stand-in what it would have billed.

    Raises:
        MediaqError: There is no stand-in to ask.
    """
    address = os.environ.get(ENDPOINT)
    if not address:
        raise MediaqError(f"set {ENDPOINT} to the AWS stand-in that the calls went to. {REAL_AWS}")
    url = f"{address.rstrip('/')}/_standin/calls"
    try:
        answer = httpx.get(url, params={"billed": "true"}, timeout=60)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MediaqError(f"no AWS stand-in answers at {url} ({ENDPOINT}): {error}") from error
    try:
        return audit.read_calls(answer.raise_for_status().content)
    except (httpx.HTTPStatusError, msgspec.DecodeError) as error:
        raise MediaqError(
            f"{address} ({ENDPOINT}) is no AWS stand-in: it answers {answer.status_code} to GET {url}, "
            f"and no list of calls. {REAL_AWS}"
        ) from error
