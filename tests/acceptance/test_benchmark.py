"""`scripts/benchmark`, as people run it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark"
# What a quick round measures of every peer, and of those that run many jobs at once.
OF_ALL = {"rate_1", "single", "batch", "naps", "latency_p50_ms", "queued_bytes", "finished_bytes"}
OF_MANY = {"rate_10", "rate_100", "gathered", "resident_mb_100"}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick benchmark of the two peers that need no further packages prints and writes."""
    file = tmp_path_factory.mktemp("benchmark") / "figures.json"
    command: list[str | Path] = [SCRIPT, "--quick", "--only", "mediaq,rq-simple", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr, done.stderr
    return done.stdout, json.loads(file.read_text())


def test_every_figure_of_every_peer_is_measured(benchmark: tuple[str, dict[str, Any]]) -> None:
    _, figures = benchmark
    of_us, of_rq = figures["medians"]["mediaq"], figures["medians"]["rq-simple"]
    assert of_us.keys() >= OF_ALL | OF_MANY
    assert of_rq.keys() >= OF_ALL
    assert all(of_us[name] > 0 for name in OF_ALL | OF_MANY)
    assert all(of_rq[name] > 0 for name in OF_ALL)


def test_the_tables_show_figures_and_targets(benchmark: tuple[str, dict[str, Any]]) -> None:
    printed, figures = benchmark
    rows = {
        cells[1]: cells[2:-1]
        for line in printed.splitlines()
        if len(cells := [cell.strip() for cell in line.split("|")]) > 2
    }
    rate = figures["medians"]["rq-simple"]["rate_1"]
    assert rows["RQ SimpleWorker"], printed
    assert f"| {round(rate):,} |" in " ".join(printed.split()), printed
    assert rows["no-op jobs/s at 10, times RQ's SimpleWorker at its best"][-1] in ("pass", "falls short")
    assert "no-op jobs/s at 10, times BullMQ for Python at its best" not in rows  # was not measured
