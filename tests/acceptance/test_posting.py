"""`python -m posting`, what `scripts/benchmark-posts` measures, in two short rounds."""

import asyncio
import json
import os
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


async def test_jobs_and_bare_rows_are_accepted_in_turns() -> None:
    """How many fit into these rounds says nothing; what a POST asks of the servers is counted elsewhere."""
    command = ["-m", "posting", "--connections", "4", "--rounds", "2", "--seconds", "0.3"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAQ_")}
    path = f"{SCRIPTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**own, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    figures = json.loads(output)
    assert figures["connections"] == 4
    assert figures["mediaq_jobs_a_second"] > 0
    assert figures["bare_jobs_a_second"] > 0
    assert figures["ratio_least"] <= figures["ratio_median"] <= figures["ratio_most"]
