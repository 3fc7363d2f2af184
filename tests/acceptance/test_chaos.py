"""`scripts/chaos`, as people run it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mediaq.embedded import leftovers

SCRIPT = Path(__file__).parents[2] / "scripts" / "chaos"
FAULTS = ["kill-worker", "flush-redis", "drop-after", "restart-postgres"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=110)


def test_jobs_outlive_what_strikes_them_and_each_figure_stands_beside_what_is_wanted() -> None:
    chosen = ["--jobs", "16", "--faults", "4", "--minutes", "0.3", "--seed", "8"]
    done = run(*chosen, "--only", ",".join(FAULTS))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    verdicts = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["requests accepted"] == ["16", "16", "PASS"]
    assert verdicts["jobs completed"] == ["16", "16", "PASS"]
    assert verdicts["billed calls without a cost row of their own"] == ["0", "0", "PASS"]
    assert verdicts["faults that were seen to take effect"] == ["4", "4", "PASS"]
    assert "FAIL" not in done.stdout
    # The recovery of each kind, and the line that says what was seen of it.
    assert sorted(row[0] for row in rows if len(row) == 6 and row[2] == "1") == sorted(FAULTS)
    assert all(f" s  {name}" in done.stdout for name in FAULTS)
    # What was billed and not answered is told apart from what is known to be billed.
    assert any("within possibly billed" in row for row in rows)
    assert done.stdout.splitlines()[-2].startswith("PASS chaos, ")


def test_a_kind_of_fault_that_there_is_not_is_named() -> None:
    done = run("--only", "kill-worker,flood")
    assert done.returncode == 2
    assert "flood is none of kill-worker, kill-stock" in done.stderr


@pytest.mark.parametrize("option", ["--jobs", "--minutes", "--workers"])
def test_a_number_that_makes_no_run_is_refused(option: str) -> None:
    done = run(option, "0")
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in done.stderr


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_process_outlives_the_script(tmp_path: Path, signum: signal.Signals, status: int) -> None:
    chosen = ["--jobs", "20", "--faults", "3", "--minutes", "0.5", "--only", "freeze-worker,redis-away"]
    with started(tmp_path, *chosen) as script:
        tree = leftovers.descendants(script.pid)
        assert len(tree) > len(["valkey", "postgres", "s3", "standin", "serve", "serve", "worker", "stock"])
        script.send_signal(signum)
        assert script.wait(40) == status
    left = wait_for_ends(tree, 20)
    assert left == []


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the script, its data in a folder; yields when a fault has struck: all processes are up."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen([SCRIPT, *arguments], env=environment, stdout=subprocess.PIPE) as script:
        assert script.stdout is not None
        try:
            next(line for line in script.stdout if b" s  " in line)
            yield script
        finally:
            script.kill()


def wait_for_ends(tree: list[psutil.Process], most: float) -> list[psutil.Process]:
    """Return those of the processes that are still there after a while."""
    until = time.monotonic() + most
    while any(map(leftovers.alive, tree)) and time.monotonic() < until:
        time.sleep(0.05)
    return [process for process in tree if leftovers.alive(process)]
