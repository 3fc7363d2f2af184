"""Image jobs end to end: whatever was uploaded, Rekognition sees what a browser shows."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from house import Api, StandIn
from image_kit import begun
from PIL import Image
from quarters import HEIC, SHOWN, quarters, saved, turned

from mediaq.embedded import ports, samples
from mediaq.model import Announcement
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.resources import Resources
from mediaq.settings import Settings

QUEUE = "image-processing"
KEY = "uploads/image"
HALF = 0.5
PLACES = {name: (place % 2 * HALF, place // 2 * HALF, HALF, HALF) for place, name in enumerate(SHOWN)}
NAMES = tuple(operation.name for operation in PIPELINES[QUEUE].operations)
CALLS = {"DetectLabels", "DetectText", "DetectFaces", "DetectModerationLabels"}
METHODS = ("detect_labels", "detect_text", "detect_faces", "detect_moderation_labels")
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIC"]
MEGABYTE = 1_000_000


def asking(**operations: Any) -> dict[str, Any]:
    """A request; by default for all operations."""
    return {
        "mediaItemId": "m",
        "s3Key": KEY,
        "operations": operations or dict.fromkeys(NAMES, True),
    }


async def analysed(api: Api, image: bytes, **operations: Any) -> dict[str, Any]:
    """The results of a job that must complete."""
    await api.upload(KEY, image)
    job = await api.run(QUEUE, asking(**operations))
    assert job["status"] == "completed", job["failedReason"]
    assert job["attemptsMade"] == 1
    results: dict[str, Any] = job["returnvalue"]
    return results


def places(labels: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """Where each colour is, to the eighth of a side."""
    boxes = {
        label["Name"]: label["Instances"][0]["BoundingBox"] for label in labels if label["Name"] in SHOWN
    }
    return {
        name: tuple(round(box[side] * 8) / 8 for side in ("Left", "Top", "Width", "Height"))
        for name, box in boxes.items()
    }


@pytest.fixture
def by_bytes(overrides: dict[str, str]) -> None:
    """Has Rekognition not read the bucket; to be named before what uses the settings."""
    overrides["MEDIAQ_AWS__READ_BY_REFERENCE"] = "false"


@pytest.mark.parametrize("kind", KINDS)
async def test_images_of_every_kind_are_analysed(api: Api, standin: StandIn, kind: str) -> None:
    results = await analysed(api, HEIC.read_bytes() if kind == "HEIC" else saved(quarters(), kind))
    assert places(results["labels"]) == PLACES
    assert {call["operation"] for call in standin.billed()} == CALLS
    assert len(standin.billed()) == len(CALLS)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_places_are_those_that_a_browser_shows(api: Api, standin: StandIn, orientation: int) -> None:
    results = await analysed(api, turned("JPEG", orientation), detectLabels=True)
    assert places(results["labels"]) == PLACES


async def test_places_are_the_same_where_the_image_is_sent_by_its_bytes(
    by_bytes: None, standin: StandIn, api: Api
) -> None:
    for image in (turned("JPEG", 6), turned("PNG", 1), turned("WEBP", 5)):
        results = await analysed(api, image)
        assert places(results["labels"]) == PLACES


async def test_an_image_of_too_many_bytes_is_analysed(api: Api, standin: StandIn) -> None:
    file = saved(quarters((2600, 2600)), "PNG", compress_level=0)
    assert len(file) > 15 * MEGABYTE
    assert places((await analysed(api, file))["labels"]) == PLACES


async def test_an_image_of_too_many_pixels_is_analysed(api: Api, standin: StandIn) -> None:
    file = saved(quarters((12_000, 1000)), "PNG")
    assert places((await analysed(api, file))["labels"]) == PLACES


async def test_parameters_reach_rekognition(api: Api, standin: StandIn) -> None:
    few = await analysed(api, saved(quarters(), "PNG"), detectLabels={"maxLabels": 2})
    assert len(few["labels"]) == 2
    only = await analysed(
        api, saved(quarters(), "PNG"), detectLabels={"includeLabels": ["Blue"], "minConfidence": 0}
    )
    assert [label["Name"] for label in only["labels"]] == ["Blue"]


async def test_the_least_confidence_and_the_regions_of_text_reach_rekognition(
    api: Api, standin: StandIn
) -> None:
    picture = samples.draw_picture()
    everything = (await analysed(api, picture, detectText={}))["text"]
    assert {found["DetectedText"] for found in everything} >= set(samples.PICTURE_LINES)
    below = {"left": 0, "top": 0.9, "width": 1, "height": 0.1}
    assert (await analysed(api, picture, detectText={"regions": [below]}))["text"] != everything
    assert (await analysed(api, picture, detectModerationLabels={"minConfidence": 100}))["moderation"] == []


async def test_attributes_of_faces_reach_rekognition(api: Api, standin: StandIn) -> None:
    portrait = Image.new("RGB", (400, 400), "navy")
    portrait.paste((224, 172, 138), (100, 100, 300, 300))
    file = saved(portrait, "PNG")
    [face] = (await analysed(api, file, detectFaces=True))["faces"]
    assert "FaceOccluded" not in face
    for attributes in ("ALL", ["FACE_OCCLUDED"]):
        [face] = (await analysed(api, file, detectFaces={"attributes": attributes}))["faces"]
        assert "FaceOccluded" in face


@pytest.mark.usefixtures("impatient")
async def test_without_s3_a_job_waits_uncharged_for_its_next_attempt(
    api: Api, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{ports.free_port()}")
    job = await api.run(QUEUE, asking())
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("delayed", 1, [])
    for name in NAMES:
        assert f"{name}: S3 cannot be reached" in job["failedReason"]
    assert standin.calls() == []


async def run_here(api: Api, resources: Resources, image: bytes, **operations: Any) -> dict[str, Any]:
    """Has this process run a job, by clients that are open; returns the job."""

    async def announce(told: Announcement) -> None:
        """Tells nobody."""

    await api.upload(KEY, image)
    job_id = await api.accept(QUEUE, asking(**operations))
    await run_job(resources.tools, PIPELINES[QUEUE], job_id, announce)
    return await api.job(QUEUE, job_id)


async def requests_to_s3(resources: Resources) -> list[str]:
    """The methods of the requests from here on."""
    made: list[str] = []
    client = await resources.tools.aws.client("s3")
    client.meta.events.register("before-send", lambda request, **_: made.append(request.method))
    return made


@pytest.mark.parametrize(("kind", "requests"), [("JPEG", ["GET"]), ("WEBP", ["GET", "GET"])])
async def test_an_image_is_looked_at_and_converted_once_for_all_operations_and_tries(
    standin: StandIn, api: Api, resources: Resources, kind: str, requests: list[str]
) -> None:
    made = await requests_to_s3(resources)
    standin.fault("DetectFaces", "throttle", times=2)
    await run_here(api, resources, saved(quarters(), kind))
    assert made == requests


async def test_an_image_is_read_once_for_all_that_send_its_bytes(
    by_bytes: None, standin: StandIn, api: Api, resources: Resources
) -> None:
    made = await requests_to_s3(resources)
    standin.fault("DetectFaces", "throttle", times=2)
    await run_here(api, resources, saved(quarters(), "PNG"))
    assert made == ["GET", "GET"]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_of_an_image_that_was_analysed_before_only_the_beginning_is_read(
    by_bytes: None, standin: StandIn, api: Api, resources: Resources, kind: str
) -> None:
    """Neither the whole is read nor is anything converted for a call that is not made."""
    image = saved(quarters(), kind)
    first = await run_here(api, resources, image)
    made = await requests_to_s3(resources)
    second = await run_here(api, resources, image)
    assert made == ["GET"]
    assert second["returnvalue"] == first["returnvalue"]
    assert {cost["certainty"] for cost in second["costs"]} == {"reused"}


async def test_one_of_two_jobs_that_ask_the_same_at_once_reads_the_image(
    by_bytes: None, standin: StandIn, api: Api, resources: Resources
) -> None:
    made = await requests_to_s3(resources)
    image = saved(quarters(), "PNG")
    await asyncio.gather(*(run_here(api, resources, image, detectLabels=True) for _ in range(2)))
    assert made == ["GET"] * 3
    assert len(standin.billed()) == 1


async def test_an_image_that_cannot_be_converted_is_not_on_record_as_a_call(
    standin: StandIn, api: Api, resources: Resources
) -> None:
    await api.upload(KEY, saved(quarters(), "WEBP")[:200])
    job = await api.run(QUEUE, asking(detectLabels=True))
    assert (job["status"], job["costs"]) == ("failed", [])
    assert await resources.store.pool.fetchval("select count(*) from operation_runs") == 0


@pytest.fixture
def no_reuse(overrides: dict[str, str]) -> None:
    """Has the same be asked again; to be named before what uses the settings."""
    overrides["MEDIAQ_REUSE__ENABLED"] = "false"


async def calls_alone(resources: Resources) -> float:
    """Milliseconds that the four calls take by themselves, all at once."""
    client = await resources.tools.aws.client("rekognition")
    image = {"S3Object": {"Bucket": resources.settings.aws.bucket, "Name": KEY}}
    began = time.perf_counter()
    await asyncio.gather(*(getattr(client, method)(Image=image) for method in METHODS))
    return (time.perf_counter() - began) * 1000


async def test_a_job_of_four_calls_takes_less_than_100_ms_more_than_the_calls_do(
    no_reuse: None, standin: StandIn, api: Api, resources: Resources
) -> None:
    """So, four calls of 200 ms take less than 300 ms; the best of some, for others use the machine too."""
    standin.fault("*", "latency", seconds=0.2, times=None)
    picture = samples.draw_picture()
    await run_here(api, resources, picture)
    added: list[float] = []
    while len(added) < 15 and min(added, default=100) >= 100:
        calls = await calls_alone(resources)
        job = await run_here(api, resources, picture)
        added.append(job["finishedOn"] - job["processedOn"] - calls)
    assert min(added) < 100, added


async def test_a_job_that_is_cancelled_ends_its_conversion(
    standin: StandIn, api: Api, resources: Resources
) -> None:
    image = saved(Image.new("RGB", (12_000, 4000), "teal"), "PNG", compress_level=1)
    running = asyncio.create_task(run_here(api, resources, image))
    process = await begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.to_thread(process.wait, 10)
    assert standin.calls() == []


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the worker's temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def worker(settings: Settings, temporary: Path) -> Iterator[psutil.Process]:
    """A worker in a process of its own."""
    command = [sys.executable, "-m", "mediaq.cli", "worker", "-q", QUEUE]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with psutil.Popen(command, env=environment, **quiet) as process:
        yield process
        process.terminate()


async def test_a_worker_that_is_killed_while_it_converts_leaves_no_file(
    standin: StandIn, api: Api, worker: psutil.Process, temporary: Path
) -> None:
    await api.upload(KEY, saved(Image.new("RGB", (12_000, 4000), "teal"), "PNG", compress_level=1))
    await api.accept(QUEUE, asking())
    process = await begun(worker.pid)
    worker.kill()
    assert os.listdir(temporary) == []  # noqa: PTH208 - a look at an empty folder does not block
    await asyncio.to_thread(process.wait, 30)
    assert os.listdir(temporary) == []  # noqa: PTH208 - nor does this


async def ended(api: Api, image: bytes) -> None:
    """Has the worker run a job that must complete."""
    await api.upload(KEY, image)
    job_id = await api.accept(QUEUE, asking())
    async with asyncio.timeout(100):
        while (job := await api.job(QUEUE, job_id))["status"] not in ("completed", "failed"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert job["status"] == "completed", job["failedReason"]


def most_memory(process: psutil.Process) -> int:
    """Bytes that a process has had resident at most."""
    [line] = [
        line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) * 1024


def noise(side: int) -> bytes:
    """A PNG of three bytes a pixel."""
    return saved(Image.frombytes("RGB", (side, side), Random(1).randbytes(side * side * 3)), "PNG")  # noqa: S311


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_worker_takes_no_more_memory_for_larger_images(
    standin: StandIn, api: Api, worker: psutil.Process
) -> None:
    small, large = noise(2300), noise(4500)
    assert len(small) > 15 * MEGABYTE
    assert len(large) > 60 * MEGABYTE
    await ended(api, small)
    before = most_memory(worker)
    await ended(api, large)
    assert most_memory(worker) - before < 15 * MEGABYTE
