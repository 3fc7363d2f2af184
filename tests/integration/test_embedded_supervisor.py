"""The supervisor of `mediaq up`, running small real programs."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from supervised import alive, until

from mediaq.embedded import leftovers
from mediaq.embedded.processes import Process, ProcessFailedError
from mediaq.embedded.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"
# Starts a sleeper in a session of its own, as an RQ worker starts its work horse, and writes down both pids.
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "{SLEEP}"], start_new_session=True)
with open("draft", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
os.rename("draft", "pids")
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    async with Supervisor(tmp_path, patience=20, grace=5) as running:
        yield running


def program(
    folder: Path,
    code: str,
    *,
    name: str = "program",
    ready: Callable[[], Awaitable[bool]] | None = None,
    once: bool = False,
) -> Process:
    command = [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{code}"]
    return Process(name, command, ready=ready, once=once)


def made(file: Path) -> Callable[[], Awaitable[bool]]:
    return partial(asyncio.to_thread, file.exists)


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_of_alive_tells_the_living_from_the_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    assert alive(process.pid)
    process.kill()
    process.wait()
    assert not alive(process.pid)


async def test_a_process_starts_only_when_those_before_it_are_ready(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    slow = "import time; time.sleep(0.3); open('slow', 'w').close(); time.sleep(60)"
    after = "import os; open('seen', 'w').write(str(os.path.exists('slow')))"
    await supervisor.start([program(tmp_path, slow, name="slow", ready=made(tmp_path / "slow"))])
    await supervisor.start([program(tmp_path, after, name="after", once=True)])
    assert (tmp_path / "seen").read_text() == "True"


async def test_an_early_death_shows_the_end_of_the_log(supervisor: Supervisor, tmp_path: Path) -> None:
    broken = program(tmp_path, "print('no space left'); exit(3)", name="broken", ready=made(tmp_path / "no"))
    with pytest.raises(ProcessFailedError) as failure:
        await supervisor.start([program(tmp_path, SLEEP), broken])
    message = str(failure.value)
    assert "broken ended with status 3 before it was ready" in message
    assert str(tmp_path / "logs" / "broken.log") in message
    assert "no space left" in message


async def test_a_one_shot_that_fails_is_an_error(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="migrate ended with status 1"):
        await supervisor.start([program(tmp_path, "exit(1)", name="migrate", once=True)])


async def test_a_program_that_is_not_there_is_an_error(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailedError, match="ghost could not be started"):
        await supervisor.start([Process("ghost", ["/nonexistent/ghost"])])


async def test_a_process_that_never_gets_ready_is_an_error(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, patience=0.2) as supervisor:
        with pytest.raises(ProcessFailedError, match=r"program was not ready after 0\.2 s"):
            await supervisor.start([program(tmp_path, SLEEP, ready=made(tmp_path / "never"))])


async def test_a_crashed_process_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    code = f"{PARENT}{SLEEP}"
    await supervisor.start([program(tmp_path, code, ready=made(tmp_path / "pids"))])
    first = pids(tmp_path)[0]
    psutil.Process(first).kill()
    await until(lambda: pids(tmp_path)[0] != first)
    assert alive(pids(tmp_path)[0])


async def test_a_child_that_is_killed_stays_away_with_its_descendants_until_it_is_started(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start([program(tmp_path, f"{PARENT}{SLEEP}", ready=made(tmp_path / "pids"))])
    first = pids(tmp_path)
    assert supervisor.child("program").pid == first[0]
    await supervisor.child("program").kill()
    assert not any(map(alive, first))
    (tmp_path / "pids").unlink()
    await asyncio.sleep(0.8)  # longer than the pause before a restart
    assert supervisor.child("program").pid is None
    await supervisor.child("program").start(patience=20)
    second = pids(tmp_path)
    assert supervisor.child("program").pid == second[0]
    psutil.Process(second[0]).kill()
    await until(lambda: supervisor.child("program").pid not in (None, second[0]))


async def test_a_one_shot_is_not_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start([program(tmp_path, "open('ran', 'a').write('x')", once=True)])
    await asyncio.sleep(0.8)  # longer than the pause before a restart
    assert (tmp_path / "ran").read_text() == "x"


async def test_what_started_last_stops_first(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        for name in ("first", "second"):
            code = f"""
import signal, sys
def stop(*_):
    open('stopped', 'a').write('{name} ')
    sys.exit()
signal.signal(signal.SIGTERM, stop)
open('{name}', 'w').close()
signal.pause()
"""
            await supervisor.start([program(tmp_path, code, name=name, ready=made(tmp_path / name))])
    assert (tmp_path / "stopped").read_text() == "second first "


async def test_stop_ends_a_deaf_process_and_its_descendants_in_other_sessions(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, grace=0.2) as supervisor:
        parent_of_unmarked = PARENT.replace("start_new_session=True", "start_new_session=True, env={}")
        code = f"{DEAF}{parent_of_unmarked}{SLEEP}"
        await supervisor.start([program(tmp_path, code, ready=made(tmp_path / "pids"))])
        parent, child = pids(tmp_path)
        assert alive(parent)
        assert alive(child)
    assert not alive(parent)
    assert not alive(child)


async def test_stop_ends_the_orphans_of_a_crashed_process(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([program(tmp_path, PARENT, once=True)])
        orphan = pids(tmp_path)[1]
        assert alive(orphan)
    assert not alive(orphan)


async def start_in_another_process(folder: Path) -> asyncio.subprocess.Process:
    """A supervisor of a deaf program with a descendant, in a process that can be killed."""
    code = f"""
import asyncio, sys
from pathlib import Path
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor

async def main():
    async with Supervisor(Path({str(folder)!r})) as supervisor:
        await supervisor.start([Process("program", [sys.executable, "-c", {f"{PARENT}{SLEEP}"!r}])])
        await asyncio.Event().wait()

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=folder)
    await until((folder / "pids").exists)
    return process


async def test_children_of_a_killed_supervisor_end(tmp_path: Path) -> None:
    process = await start_in_another_process(tmp_path)
    process.kill()
    await process.wait()
    parent, child = pids(tmp_path)
    await until(lambda: not alive(parent) and not alive(child))


async def test_the_next_start_ends_what_a_killed_supervisor_and_guard_left(tmp_path: Path) -> None:
    process = await start_in_another_process(tmp_path)
    guard = next(
        child
        for child in psutil.Process(process.pid).children()
        if "mediaq.embedded.leftovers" in child.cmdline()
    )
    guard.kill()
    process.kill()
    await process.wait()
    parent, child = pids(tmp_path)
    assert alive(parent)
    assert alive(child)
    async with Supervisor(tmp_path):
        assert not alive(parent)
        assert not alive(child)


def test_a_process_that_reuses_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as foreign:
        created = psutil.Process(foreign.pid).create_time()
        entry = {"name": "valkey", "pid": foreign.pid, "created": created - 60, "stop_signal": 15}
        (tmp_path / "processes.json").write_text(json.dumps([entry]))
        assert leftovers.end(tmp_path, grace=1) == []
        assert foreign.poll() is None
        (tmp_path / "processes.json").write_text(json.dumps([{**entry, "created": created}]))
        assert leftovers.end(tmp_path, grace=5) != []
        assert not alive(foreign.pid)
