"""Every command of the README, typed as it stands."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

from mediaq.embedded import samples
from mediaq.pipelines.catalog import PIPELINES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]
UP = ".venv/bin/mediaq up"
# Would run this very test; it is what CI runs.
ALL_TESTS = "scripts/test"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder where the README's commands find what they name, and leave what they make."""
    for name in ("scripts", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "picture.jpg").write_bytes(samples.draw_picture())
    (tmp_path / "clip.mp4").write_bytes(samples.film_clip())
    (tmp_path / "notes.txt").write_text(samples.write_paragraph())
    return tmp_path


async def run(script: str, folder: Path) -> str:
    """Runs lines in one shell, which stops at the first that fails; returns what they print."""
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await shell.communicate())[0].decode()
    assert shell.returncode == 0, output
    return output


def lines_before_up() -> list[str]:
    before = BLOCKS[: BLOCKS.index(UP)]
    return [line for block in before for line in block.splitlines() if line != ALL_TESTS]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("line", lines_before_up())
async def test_the_commands_that_need_nothing_work(line: str, checkout: Path) -> None:
    await run(line, checkout)


# What blocks that have these lines print.
ANSWERS = {
    "--upload-file picture.jpg": r'"jobType":"image-processing","status":"waiting"',
    '/api/queues/text-analysis" \\': r'"jobType":"text-analysis","status":"waiting"',
    "mediaq watch": r'(?s)"returnvalue": \{.*event: completed',
    '$job" --request DELETE': r'"status":409,.*has ended already',
    "/api/media/note-1": r'"mediaItemId":"note-1","status":"completed"',
    "/api/costs": r'"groups":\[\{.*\}id,createdAt,userId,',
    "/openapi.json": r'^\s*\{"openapi":"3\.1\.0"',
    "/api/session": r'"queues":\[',
}
MARK = "---- the next block ----"


def blocks_beside_up() -> list[str]:
    return BLOCKS[BLOCKS.index(UP) + 1 :]


def test_all_that_curl_is_answered_is_checked() -> None:
    unchecked = [block for block in blocks_beside_up() if "curl " in block]
    assert [block for block in unchecked if not any(line in block for line in ANSWERS)] == []
    assert [line for line in ANSWERS if not any(line in block for block in unchecked)] == []


@pytest.mark.timeout(240)
async def test_the_round_trip_works_beside_a_running_stack(checkout: Path) -> None:
    stack = await asyncio.create_subprocess_exec(*UP.split(), cwd=checkout)
    try:
        async with asyncio.timeout(90):
            while not (checkout / ".mediaq/stack.json").exists():
                assert stack.returncode is None
                await asyncio.sleep(0.1)
        blocks = blocks_beside_up()
        output = await run(f"\necho; echo {MARK}\n".join(blocks), checkout)
    finally:
        stack.send_signal(signal.SIGINT)
        await stack.wait()
    for block, printed in zip(blocks, output.split(MARK), strict=True):
        for line in (line for line in ANSWERS if line in block):
            assert re.search(ANSWERS[line], printed), f"{block}\n{printed}"
    assert '"status": "completed"' in output
    assert "auth.secret = ***" in output


def test_all_commands_are_run_and_ci_runs_the_rest() -> None:
    assert ALL_TESTS in (ROOT / ".ci/run").read_text()
    assert UP in BLOCKS


def test_the_table_lists_the_catalogue() -> None:
    """Each operation with its job type and the key of its result, and nothing else."""
    rows = re.findall(r"^\| (?:`([a-z-]+)`)? ?\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", README, re.MULTILINE)
    listed, job_type = [], ""
    for named, operation, results in rows:
        job_type = named or job_type
        listed.append((job_type, operation, results.split("`")[-2]))
    assert listed == [
        (pipeline.queue, operation.name, operation.result)
        for pipeline in PIPELINES.values()
        for operation in pipeline.operations
    ]
