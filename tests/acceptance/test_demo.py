"""`scripts/demo`, as people run it."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import monotonic

import httpx
import media
import psutil
import pytest
from attrs import frozen

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo"

LETTER = b"Dear Anna, we are in Paris and the weather is lovely. We will be home on Sunday evening."

Watch = Callable[[str, psutil.Process], None]


@frozen
class Shown:
    """What a demo did: its exit status and output, how long it took, and which of its processes still run."""

    status: int
    output: str
    seconds: float
    left: list[psutil.Process]


def ignore(line: str, demo: psutil.Process) -> None:
    """Let the demo run undisturbed."""


def run_demo(data: Path, *arguments: str | Path, watch: Watch = ignore, **variables: str) -> Shown:
    """Run the demo with its data in a folder; `watch` is called with each line as it is written."""
    started = monotonic()
    output = ""
    seen: set[psutil.Process] = set()
    with subprocess.Popen(
        [SCRIPT, *arguments],
        env={**os.environ, "TMPDIR": str(data), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout
        demo = psutil.Process(running.pid)
        try:
            for line in running.stdout:
                output += line
                seen.update(demo.children(recursive=True))
                watch(line, demo)
        finally:
            running.terminate()
    left = [process for process in seen if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    return Shown(running.returncode, output, monotonic() - started, left)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the demo puts its data."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def completed(shown: Shown) -> set[str]:
    """Return the jobs that the progress showed as completed."""
    return set(re.findall(r"^(\S+: \S+): completed", shown.output, re.MULTILINE))


def interrupt_at(sign: str) -> Watch:
    def watch(line: str, demo: psutil.Process) -> None:
        if sign in line:
            demo.send_signal(signal.SIGINT)

    return watch


def test_the_samples_are_analysed_and_priced_and_nothing_is_left(data: Path) -> None:
    shown = run_demo(data)

    assert shown.status == 0, shown.output
    assert completed(shown) == {
        "picture.jpg: image-processing",
        "clip.mp4: video-processing",
        "paragraph.txt: text-analysis",
        "paragraph.txt: embedding-generation",
    }
    assert "4 of 4 jobs completed" in shown.output
    assert "MEDIAQ / Every call on the ledger" in shown.output
    assert "\x1b" not in shown.output

    *amounts, total = map(Decimal, re.findall(r"\$([\d.]+) +billed", shown.output))
    assert len(amounts) == 11  # thumbnails cost nothing
    assert sum(amounts) == total > 0

    assert shown.left == []
    assert list(data.iterdir()) == []
    assert shown.seconds < 60


def test_files_of_ones_own_are_sorted_by_content(data: Path, tmp_path: Path) -> None:
    files = [
        written(tmp_path, "holiday.bin", media.picture("JPEG", (200, 150))),
        written(tmp_path, "film.mp4", media.film(25, sound=True)),
        written(tmp_path, "letter.txt", LETTER),
    ]

    shown = run_demo(data, *files)

    assert shown.status == 0, shown.output
    assert completed(shown) == {
        "holiday.bin: image-processing",
        "film.mp4: video-processing",
        "letter.txt: text-analysis",
        "letter.txt: embedding-generation",
    }


def test_a_file_that_is_nothing_known_is_refused_before_anything_starts(data: Path, tmp_path: Path) -> None:
    good = written(tmp_path, "letter.txt", LETTER)
    bad = written(tmp_path, "letter.doc", bytes(range(256)))

    shown = run_demo(data, good, bad)

    assert shown.status != 0
    assert str(bad) in shown.output
    assert "Starting" not in shown.output


def test_a_failed_job_shows_its_reason_and_fails_the_demo(data: Path, tmp_path: Path) -> None:
    damaged = written(tmp_path, "damaged.jpg", media.cut(media.picture("JPEG", (200, 150)), 0.1))

    shown = run_demo(data, damaged)

    assert shown.status == 1
    assert "damaged.jpg: image-processing: failed" in shown.output
    assert "is damaged or cut short" in shown.output
    assert "0 of 1 jobs completed" in shown.output


def test_a_killed_worker_is_started_again_and_the_demo_ends_well(data: Path) -> None:
    """It is killed in the middle of a job, which the next one takes over when its lease has run out."""
    killed: list[psutil.Process] = []

    def kill(line: str, demo: psutil.Process) -> None:
        if "video-processing: active" in line and not killed:
            killed.extend(workers(demo))
            for worker in killed:
                worker.kill()

    # A call that the killed worker made is repeated when its own time is over.
    shown = run_demo(data, watch=kill, MEDIAQ_AWS__CALL_TIMEOUT="5")

    assert shown.status == 0, shown.output
    assert "worker ended with status -9; starting it again" in shown.output
    assert "4 of 4 jobs completed" in shown.output
    assert shown.left == []


def workers(demo: psutil.Process) -> list[psutil.Process]:
    """Return the workers of a stack."""
    return [child for child in demo.children() if child.cmdline()[-2:] == ["mediaq.cli", "worker"]]


def test_kept_the_stack_stays_up_until_ctrl_c(data: Path, tmp_path: Path) -> None:
    answers = []

    def ask_then_interrupt(line: str, demo: psutil.Process) -> None:
        if found := re.match(r" *API +(\S+)", line):
            answers.append(httpx.get(f"{found[1]}/readyz").status_code)
            demo.send_signal(signal.SIGINT)

    letter = written(tmp_path, "letter.txt", LETTER)
    shown = run_demo(data, "--keep", letter, watch=ask_then_interrupt)

    assert answers == [200]
    assert shown.status == 0, shown.output
    assert shown.left == []
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("moment", ["Starting", "video-processing: active"])
def test_ctrl_c_stops_everything_at_any_time(data: Path, moment: str) -> None:
    shown = run_demo(data, watch=interrupt_at(moment))

    assert shown.status == 130, shown.output
    assert shown.left == []
    assert list(data.iterdir()) == []
