"""`scripts/faults`, as people run it."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "faults"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=100)


def test_each_figure_is_shown_beside_what_is_wanted() -> None:
    done = run("--quick", "--only", "flush,stop-twice")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    verdicts = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["handed back"] == ["{'queued': 10}", "{'queued': 10}", "PASS"]
    assert verdicts["rq info lists the worker"] == ["yes", "yes", "PASS"]
    assert "FAIL" not in done.stdout
    assert [line.split(",")[0] for line in done.stdout.splitlines() if line.startswith("PASS")] == [
        "PASS flush",
        "PASS stop-twice",
    ]


def test_a_scenario_that_there_is_not_is_named() -> None:
    done = run("--only", "flood")
    assert done.returncode == 2
    assert "flood is none of kill, info" in done.stderr
