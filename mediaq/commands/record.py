"""What is on record in Postgres: its schema and the jobs."""

from __future__ import annotations

import click

from mediaq.commands.database import run_to_end, with_store
from mediaq.commands.tables import make_table, print_table
from mediaq.logs import setup_logs
from mediaq.model import JobStatus
from mediaq.settings import load_settings
from mediaq.store import jobs as job_records
from mediaq.store.jobs import Wanted
from mediaq.store.migrate import load_migrations
from mediaq.store.migrate import migrate as apply_migrations


@click.command()
def migrate() -> None:
    """Brings the database's schema up to date."""
    settings = load_settings()
    setup_logs(settings.logs)
    applied = run_to_end(apply_migrations(settings.database.url, load_migrations()))
    print(f"{len(applied)} applied, {len(load_migrations())} in all")


@click.command()
@click.option("--user", help="Only this user's.")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]))
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--ids", is_flag=True, help="Print ids alone, one a line.")
def jobs(user: str | None, status: str | None, most: int, ids: bool) -> None:
    """Lists the newest jobs on record."""
    wanted = Wanted(user_id=user, status=None if status is None else JobStatus(status))
    seconds = load_settings().database.timeout
    found = with_store(lambda store: job_records.list_jobs(store, wanted, most=most, seconds=seconds))
    if ids:
        print(*(job.id for job in found), sep="\n")
        return
    table = make_table("id", "type", "user", "status", "attempts", "accepted", "reason")
    for job in found:
        attempts = f"{job.attempts}/{job.max_attempts}"
        accepted = job.accepted_at.isoformat(timespec="seconds")
        table.add_row(job.id, job.type, job.user_id, job.status, attempts, accepted, job.failed_reason or "")
    print_table(table)


@click.command()
@click.option(
    "--days", type=click.IntRange(1), required=True, help="Jobs that ended longer ago than this go."
)
def purge(days: int) -> None:
    """Deletes old jobs from the record; their cost rows stay."""
    print(f"{with_store(lambda store: job_records.purge(store, days))} jobs deleted")
