"""Images in S3 on their way to Rekognition: what it sees is what a browser shows, whatever the file."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from attrs import frozen
from image_kit import begun, conversions
from PIL import Image
from quarters import HEIC, SHOWN, quarters, saved, seen, turned

from mediaq.aws import objects
from mediaq.aws.calls import call
from mediaq.aws.clients import Aws, open_aws
from mediaq.errors import Refused, TryAgain
from mediaq.pipelines.converter import Converter
from mediaq.pipelines.pictures import Route, fetch, for_embedding, look, route
from mediaq.settings import Aws as AwsSettings
from mediaq.settings import Image as ImageSettings

HALF = 0.5
PLACES = {
    name: {"Left": place % 2 * HALF, "Top": place // 2 * HALF, "Width": HALF, "Height": HALF}
    for place, name in enumerate(SHOWN)
}
LARGE = (8000, 6000)
BY_REFERENCE, BY_BYTES = True, False


@frozen
class Studio:
    """A bucket, and what images in it are looked at and converted by."""

    aws: Aws
    bucket: str
    settings: ImageSettings = ImageSettings()

    async def put(self, data: bytes, key: str = "image") -> None:
        await objects.write(self.aws, self.bucket, key, data, "application/octet-stream")

    def converter(self, **changes: int) -> Converter:
        return Converter(self.aws, attrs.evolve(self.settings, **changes))

    async def image(self, *, turns: bool = True, key: str = "image") -> dict[str, Any]:
        """What Rekognition is sent."""
        picture = await look(self.aws, self.bucket, key)
        way = route(picture, turns=turns, by_reference=self.aws.settings.read_by_reference)
        if way is Route.REFERENCE:
            return {"S3Object": {"Bucket": self.bucket, "Name": key}}
        return {"Bytes": await fetch(self.aws, self.converter(), picture, way)}

    async def jpeg(self, key: str = "image", **changes: int) -> bytes:
        picture = await look(self.aws, self.bucket, key)
        return await fetch(self.aws, self.converter(**changes), picture, Route.CONVERSION)

    async def embedded(self) -> bytes:
        """What Titan is sent."""
        return await for_embedding(self.aws, self.converter(), self.bucket, "image")


@pytest_asyncio.fixture
async def studio(
    aws_env: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Studio]:
    for name, value in aws_env.items():
        monkeypatch.setenv(name, value)
    by_reference = getattr(request, "param", BY_REFERENCE)
    async with open_aws(AwsSettings(read_by_reference=by_reference)) as aws:
        yield Studio(aws, bucket)


async def places(studio: Studio, image: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Where the stand-in sees each colour."""
    answer = await call(studio.aws, "rekognition", "detect_labels", Image=image)
    boxes = {label["Name"]: label["Instances"] for label in answer["Labels"]}
    return {name: boxes[name][0]["BoundingBox"] for name in SHOWN}


def close(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Rounds places to the pixels that the stand-in measures."""
    return {name: {side: round(value * 8) / 8 for side, value in box.items()} for name, box in found.items()}


@pytest.mark.parametrize(
    ("kind", "studio", "turns"),
    [
        ("JPEG", BY_REFERENCE, True),
        ("JPEG", BY_REFERENCE, False),
        ("JPEG", BY_BYTES, True),
        ("PNG", BY_REFERENCE, True),
        ("PNG", BY_BYTES, False),
        ("WEBP", BY_REFERENCE, True),
        ("TIFF", BY_REFERENCE, True),
    ],
    indirect=["studio"],
)
async def test_places_are_those_that_a_browser_shows_however_the_image_is_stored_and_sent(
    studio: Studio, kind: str, turns: bool
) -> None:
    for orientation in range(1, 9):
        await studio.put(turned(kind, orientation))
        image = await studio.image(turns=turns)
        assert close(await places(studio, image)) == PLACES, (orientation, image.keys())


@pytest.mark.parametrize("kind", ["GIF", "BMP", "AVIF", "HEIC"])
async def test_other_kinds_of_files_are_seen_too(studio: Studio, kind: str) -> None:
    await studio.put(HEIC.read_bytes() if kind == "HEIC" else saved(quarters(), kind))
    assert close(await places(studio, await studio.image())) == PLACES


async def test_what_rekognition_takes_is_not_read(studio: Studio) -> None:
    await studio.put(turned("JPEG", 6))
    assert await studio.image() == {"S3Object": {"Bucket": studio.bucket, "Name": "image"}}


@pytest.mark.parametrize("studio", [BY_BYTES], indirect=True)
async def test_the_bytes_are_those_of_the_object_where_rekognition_takes_them(studio: Studio) -> None:
    data = turned("JPEG", 6)
    await studio.put(data)
    assert await studio.image() == {"Bytes": data}


async def test_more_bytes_than_one_read_fetches_are_converted(studio: Studio) -> None:
    noise = Image.effect_noise((3300, 3300), 100).convert("RGB")
    data = saved(noise, "BMP")
    assert len(data) > 2 * objects.STRETCH
    await studio.put(data)
    image = await studio.image()
    assert len(image["Bytes"]) <= 5_242_880
    await call(studio.aws, "rekognition", "detect_labels", Image=image)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "image is empty"),
        (b"no image", "image is no image of a known kind"),
        (saved(quarters(), "WEBP")[:40], "image is damaged or cut short"),
        (saved(quarters((60, 60)), "PNG"), "image has 60 x 60 pixels; each side must have at least 80"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_plain_words(studio: Studio, data: bytes, why: str) -> None:
    await studio.put(data)
    with pytest.raises(Refused) as refused:
        await studio.image()
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    "data",
    [
        saved(quarters(), "WEBP"),
        turned("JPEG", 6),
        saved(quarters((4096, 3072)), "PNG"),
        saved(quarters((2600, 2600)), "PNG", compress_level=0),
    ],
    ids=["another kind", "turned", "too many pixels", "too many bytes"],
)
async def test_what_titan_does_not_take_is_converted_for_it(studio: Studio, data: bytes) -> None:
    await studio.put(data)
    made = await studio.embedded()
    assert seen(made) == SHOWN
    with Image.open(io.BytesIO(made)) as jpeg:
        assert (jpeg.format, max(jpeg.size) <= 2048) == ("JPEG", True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_what_titan_takes_is_embedded_as_it_is(studio: Studio, kind: str) -> None:
    data = saved(quarters((2048, 40)), kind)
    await studio.put(data)
    assert await studio.embedded() == data


async def test_an_object_that_is_not_there_is_refused(studio: Studio) -> None:
    with pytest.raises(Refused, match="there is no object"):
        await studio.image(key="other")


async def test_too_many_bytes_are_refused_and_not_read(studio: Studio) -> None:
    await studio.put(saved(quarters(), "BMP"))
    with pytest.raises(Refused, match="image has 57654 bytes, more than the 1000 that are opened"):
        await studio.jpeg(most_bytes=1000)


async def test_too_many_pixels_are_refused(studio: Studio) -> None:
    await studio.put(saved(quarters(), "WEBP"))
    with pytest.raises(Refused, match="image has 160 x 120 pixels, more than the 1,000 that are opened"):
        await studio.jpeg(most_pixels=1000)


@pytest.fixture
def large() -> bytes:
    """An image whose conversion takes a while."""
    return saved(Image.new("RGB", LARGE, "teal"), "PNG", compress_level=1)


async def test_a_conversion_ends_with_whoever_waited_for_it(studio: Studio, large: bytes) -> None:
    await studio.put(large)
    waiting = asyncio.create_task(studio.jpeg())
    process = await begun()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not process.is_running()


async def test_a_conversion_that_somebody_stopped_may_be_tried_again(studio: Studio, large: bytes) -> None:
    await studio.put(large)
    waiting = asyncio.create_task(studio.jpeg())
    (await begun()).terminate()
    with pytest.raises(TryAgain, match="the conversion was stopped"):
        await waiting


async def test_a_conversion_that_takes_too_long_is_refused_and_ended(studio: Studio, large: bytes) -> None:
    await studio.put(large)
    waiting = asyncio.create_task(studio.jpeg(timeout=1))
    process = await begun()
    process.suspend()
    with pytest.raises(Refused, match="image takes longer than 1 s to convert"):
        await waiting
    assert not process.is_running()


async def test_a_decoder_that_crashes_takes_nothing_else_along(studio: Studio, large: bytes) -> None:
    await studio.put(large)
    waiting = asyncio.create_task(studio.jpeg())
    (await begun()).send_signal(11)
    with pytest.raises(Refused, match="image makes its decoder crash"):
        await waiting


async def test_a_decoder_has_no_credentials(studio: Studio, large: bytes) -> None:
    await studio.put(large)
    waiting = asyncio.create_task(studio.jpeg())
    process = await begun()
    assert not [name for name in process.environ() if name.startswith("AWS_")]
    await waiting


@pytest.mark.parametrize("at_once", [1, 2])
async def test_so_many_are_converted_at_once_as_the_settings_say(studio: Studio, at_once: int) -> None:
    await studio.put(saved(Image.new("RGB", (2000, 2000), "teal"), "PNG", compress_level=1))
    converter = studio.converter(conversions=at_once)
    picture = await look(studio.aws, studio.bucket, "image")
    waiting = [asyncio.create_task(fetch(studio.aws, converter, picture, Route.CONVERSION)) for _ in range(6)]
    most = 0
    while not all(task.done() for task in waiting):
        most = max(most, len(conversions()))
        await asyncio.sleep(0.002)
    assert most == at_once
    assert len({task.result() for task in waiting}) == 1


async def test_nothing_is_left_on_disk(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await studio.put(saved(quarters(), "WEBP"))
    await studio.jpeg()
    await studio.put(b"RIFF\0\0\0\0WEBP")
    with pytest.raises(Refused):
        await studio.jpeg()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a look at an empty folder does not block
