"""Applies the numbered migrations, each once, whoever asks and whatever is killed in between."""

from __future__ import annotations

import hashlib
from pathlib import Path

import asyncpg
from attrs import frozen
from loguru import logger

from mediaq.errors import MigrationError

FOLDER = Path(__file__).parent / "migrations"
# Any number will do, as long as every version of mediaq takes the same advisory lock.
LOCK = 0x6D65646961
RECORD = """
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    digest text not null,
    applied_at timestamptz not null default now()
)
"""


@frozen
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of its text, by which a change after the fact is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Returns the migrations of a folder of files like `0001_initial.sql`, in order."""
    return [
        Migration(int(path.stem[:4]), path.stem[5:], path.read_text())
        for path in sorted(folder.glob("[0-9]*.sql"))
    ]


async def migrate(url: str, migrations: list[Migration]) -> list[Migration]:
    """Brings the database up to date; a second caller waits for the first, then finds nothing to do.

    Each step commits together with its own record, so that a process killed midway leaves whole steps only.

    Args:
        url: The database.
        migrations: All steps, in order.

    Returns:
        The steps that were applied.

    Raises:
        MigrationError: A step on record reads otherwise here.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        return [step for step in migrations if await _apply(connection, step)]
    finally:
        await connection.close()


async def _apply(connection: asyncpg.Connection, step: Migration) -> bool:
    async with connection.transaction():
        await connection.execute(RECORD)
        digest = await connection.fetchval(
            "select digest from schema_migrations where version = $1", step.version
        )
        if digest == step.digest:
            return False
        if digest is not None:
            raise MigrationError(
                f"migration {step.version:04} ({step.name}) was applied with another text; "
                "restore that text and put the change into a new migration"
            )
        await connection.execute(step.sql)
        await connection.execute(
            "insert into schema_migrations (version, name, digest) values ($1, $2, $3)",
            step.version,
            step.name,
            step.digest,
        )
    logger.info("applied migration {:04} {}", step.version, step.name)
    return True
