"""Migrations: each step once, whole or not at all, whoever asks."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from mediaq.errors import MigrationError
from mediaq.store.migrate import Migration, load_migrations, migrate

TABLES = {
    "media_items", "jobs", "operation_runs", "cost_entries", "monthly_usage", "embeddings",
    "embedding_chunks", "erasures", "leases", "budgets", "budget_months", "budget_changes", "reservations",
    "deliveries", "schema_migrations",
}  # fmt: skip
FIRST = Migration(1, "first", "create table one ()")
SLOW = Migration(2, "slow", "create table two (); select pg_sleep(60); create table three ()")
QUICK = Migration(2, "slow", "create table two (); create table three ()")
MIGRATE = """
import asyncio, sys
from pathlib import Path
from mediaq.store.migrate import load_migrations, migrate
print(len(asyncio.run(migrate(sys.argv[1], load_migrations(Path(sys.argv[2]))))))
"""


async def tables(url: str) -> set[str]:
    return set(await column(url, "select tablename from pg_tables where schemaname = 'public'"))


async def column(url: str, query: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def until(url: str, query: str) -> None:
    """Wait until a query has a row."""
    async with asyncio.timeout(20):
        while not await column(url, query):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.02)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes migrations to a folder."""

    def write(*steps: Migration) -> Path:
        for step in steps:
            (tmp_path / f"{step.version:04}_{step.name}.sql").write_text(step.sql)
        return tmp_path

    return write


async def process(url: str, folder: Path) -> asyncio.subprocess.Process:
    """Migrate in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MIGRATE, url, str(folder), stdout=-1, stderr=asyncio.subprocess.DEVNULL
    )


async def test_an_empty_database_gets_all_tables(database_url: str) -> None:
    assert await migrate(database_url, load_migrations()) == load_migrations()
    assert await tables(database_url) == TABLES


async def test_a_second_run_finds_nothing_to_do(database_url: str) -> None:
    await migrate(database_url, [FIRST])
    assert await migrate(database_url, [FIRST, QUICK]) == [QUICK]
    assert await migrate(database_url, [FIRST, QUICK]) == []


async def test_of_two_that_migrate_at_once_one_does_it(database_url: str) -> None:
    both = await asyncio.gather(*(migrate(database_url, load_migrations()) for _ in range(2)))
    assert sorted(map(len, both)) == [0, len(load_migrations())]
    assert await tables(database_url) == TABLES


async def test_of_two_processes_that_migrate_at_once_one_does_it(
    database_url: str, written: Callable[..., Path]
) -> None:
    folder = written(FIRST, QUICK)
    both = [await process(database_url, folder) for _ in range(2)]
    said = [(await one.communicate())[0].decode().strip() for one in both]
    assert sorted(said) == ["0", "2"]


async def test_a_process_killed_midway_leaves_whole_steps_and_the_next_run_finishes(
    database_url: str, written: Callable[..., Path]
) -> None:
    sleeping = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    killed = await process(database_url, written(FIRST, SLOW))
    await until(database_url, sleeping)
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    # The server would notice at the end of its sleep.
    await column(database_url, sleeping.replace("select 1", "select pg_terminate_backend(pid)"))
    assert await migrate(database_url, [FIRST, QUICK]) == [QUICK]
    assert await tables(database_url) == {"schema_migrations", "one", "two", "three"}


async def test_a_migrator_whose_connection_is_cut_leaves_whole_steps_only(database_url: str) -> None:
    cut = Migration(2, "cut", "create table two (); select pg_terminate_backend(pg_backend_pid())")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await migrate(database_url, [FIRST, cut])
    assert await tables(database_url) == {"schema_migrations", "one"}
    assert await column(database_url, "select name from schema_migrations") == ["first"]


async def test_a_step_that_cannot_be_recorded_is_not_applied(database_url: str) -> None:
    unrecorded = "create table two (); alter table schema_migrations add check (version < 2)"
    with pytest.raises(asyncpg.CheckViolationError):
        await migrate(database_url, [FIRST, Migration(2, "unrecorded", unrecorded)])
    assert await tables(database_url) == {"schema_migrations", "one"}
    assert await migrate(database_url, [FIRST, QUICK]) == [QUICK]


async def test_a_changed_text_of_an_applied_step_is_refused_by_its_name(database_url: str) -> None:
    await migrate(database_url, [FIRST])
    with pytest.raises(MigrationError, match=r"migration 0001 \(first\) was applied with another text"):
        await migrate(database_url, [Migration(1, "first", "create table other ()"), QUICK])
    assert await tables(database_url) == {"schema_migrations", "one"}


def test_steps_are_read_in_the_order_of_their_numbers(written: Callable[..., Path]) -> None:
    folder = written(QUICK, FIRST, Migration(10, "last", ""))
    (folder / "notes.txt").write_text("no step")
    assert [step.version for step in load_migrations(folder)] == [1, 2, 10]
