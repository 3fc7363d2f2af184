"""How long jobs were under way: a file that jobs append to. One clock serves all processes of a machine."""

import os
import time
from pathlib import Path

VARIABLE = "BENCH_STAMPS"


def write_stamp(sent: float) -> None:
    """Append the seconds since `sent`, a time of the monotonic clock."""
    started = time.monotonic()
    with Path(os.environ[VARIABLE]).open("a") as file:
        file.write(f"{started - sent}\n")


def read_stamps(path: Path) -> list[float]:
    """Return the seconds of all jobs that have started."""
    return [float(line) for line in path.read_text().splitlines()] if path.exists() else []
