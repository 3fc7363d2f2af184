"""`python -m audience`, what `scripts/benchmark-events` measures, with few listeners."""

import asyncio
import json
import os
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


async def test_every_listener_hears_of_its_jobs_end() -> None:
    command = ["-m", "audience", "--listeners", "150", "--rate", "50"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAQ_")}
    path = f"{SCRIPTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**own, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    figures = json.loads(output)
    assert process.returncode == 0, figures
    assert (figures["listeners"], figures["unheard"]) == (150, 0)
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p99_ms"] <= figures["latency_most_ms"]
    assert figures["resident_mb_with_listeners"] > 0
