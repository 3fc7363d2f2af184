"""A worker's memory does not grow with the size of a video."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_s3
import media
import pytest
import standin_kit
from house import Api
from programs import running

from mediaq.embedded.standin import create_app

pytest_plugins = ["program_fixtures"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak by its id")

MB = 2**20
# Bytes of the two films, and by how many the peaks may differ.
SMALL, LARGE, APART = 8 * MB, 160 * MB, 40 * MB
OPERATIONS = {"transcribe": True, "detectLabels": True, "generateThumbnails": {"poster": True}}


@pytest.fixture
def folder(overrides: dict[str, str], tmp_path: Path, bucket: str) -> Iterator[Path]:
    """The bucket as a folder, from which AWS and mediaq read."""
    made = tmp_path / bucket
    made.mkdir()
    with (
        folder_s3.serving(tmp_path) as s3_url,
        standin_kit.serving(create_app(s3_url=s3_url)) as aws_url,
    ):
        overrides |= {"AWS_ENDPOINT_URL_S3": s3_url, "AWS_ENDPOINT_URL": aws_url}
        yield made


@pytest.mark.timeout(300)
async def test_memory_does_not_grow_with_the_video(
    folder: Path, api: Api, environment: dict[str, str]
) -> None:
    peaks = [await peak_with(api, environment, folder, size) for size in (SMALL, LARGE)]
    assert abs(peaks[1] - peaks[0]) < APART, peaks


async def peak_with(api: Api, environment: dict[str, str], folder: Path, size: int) -> int:
    """Bytes of memory that a worker has had at most after all three operations on one film."""
    name = f"{size}.mp4"
    await asyncio.to_thread(media.write_long_film, folder / name, size)
    body = {"mediaItemId": "m", "s3Key": name, "operations": OPERATIONS}
    async with running(environment, "mediaq", "worker", "-q", "video-processing") as worker:
        job = await ended(api, await api.accept("video-processing", body))
        assert job["status"] == "completed", job["failedReason"]
        status = Path(f"/proc/{worker.pid}/status").read_text()  # noqa: ASYNC240 - it is in memory
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def ended(api: Api, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(240):
        while True:
            job = await api.job("video-processing", job_id)
            if job["status"] in ("completed", "failed"):
                return job
            await asyncio.sleep(0.2)
