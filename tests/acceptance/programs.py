"""Programs of other processes in tests: started with a stack's environment, ended with all they started."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from house import Api
from processes import kill_family

from mediaq.embedded import ports

BIN = Path(sys.executable).parent
KEY = "picture.jpg"
IMAGE = {"mediaItemId": "m", "s3Key": KEY, "operations": {"detectLabels": True, "detectText": True}}


@asynccontextmanager
async def running(environment: dict[str, str], *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a command while the block runs, and ends it with all that it started."""
    process = await asyncio.create_subprocess_exec(
        BIN / command[0], *command[1:], env=environment, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            kill_family(process.pid)
            await process.wait()


async def until(api: Api, job_id: str, *statuses: str) -> dict[str, Any]:
    """Follows an image job until it has one of the statuses."""
    async with asyncio.timeout(60):
        while True:
            job = await api.job("image-processing", job_id)
            if job["status"] in statuses:
                return job
            await asyncio.sleep(0.1)


async def until_recorded(api: Api, job_id: str, operation: str) -> None:
    async with asyncio.timeout(30):
        while True:
            job = await api.job("image-processing", job_id)
            if job["progress"]["subTasks"][operation]["status"] == "completed":
                return
            await asyncio.sleep(0.1)


async def until_answering(url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if await ports.answering(url):
                return
            await asyncio.sleep(0.1)
