"""Programs of other processes in tests: started with a stack's environment, ended with all they started."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from house import Api

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
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                for child in children:
                    child.kill()
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
