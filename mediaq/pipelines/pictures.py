"""Images as Rekognition takes them: the object in S3 itself, its bytes, or a JPEG made of it.

Whatever is sent shows the image as a browser does, so that the places in Rekognition's answers (boxes,
polygons, landmarks, the roll of a face) are places in that view and need no translation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from attrs import frozen

from mediaq.aws import objects
from mediaq.aws.clients import Aws
from mediaq.aws.objects import ObjectInfo
from mediaq.errors import Refused
from mediaq.pipelines.converter import Converter
from mediaq.pipelines.headers import Header, read_header

OBJECT_LIMIT = 15_000_000
"""Bytes of an object that Rekognition reads itself. AWS, "Guidelines and quotas": 15 MB, of either kind."""

BYTES_LIMIT = 5_242_880
"""Bytes of an image in a request. AWS, API reference, Image."""

LEAST_SIDE = 80
"""Pixels of the shorter side. AWS, "Guidelines and quotas"."""

MOST_SIDE = 10_000
"""Pixels of the longer side. AWS, "Guidelines and quotas", for labels and moderation; others name none."""

HEAD = 256 * 1024
"""Bytes that are read to know an image: more than cameras put before the size (EXIF, colour profiles)."""

ROTATIONS = frozenset({3, 6, 8})
"""EXIF orientations that turn and do not mirror."""


@frozen
class Picture:
    """An image that was looked at.

    Args:
        info: The object.
        header: None: neither JPEG nor PNG, or none that its first bytes show.
    """

    info: ObjectInfo
    header: Header | None


class Route(StrEnum):
    """How an image gets to Rekognition."""

    REFERENCE = "reference"
    BYTES = "bytes"
    CONVERSION = "conversion"


async def look(aws: Aws, bucket: str, key: str) -> Picture:
    """Looks at the beginning of an image.

    Raises:
        Refused: There is no such object, or it is empty.
        ProviderError: S3 cannot be asked for now.
    """
    info = await objects.head(aws, bucket, key)
    if not info.size:
        raise Refused(f"{key} is empty", "UnreadableMedia")
    return Picture(info, read_header(await objects.read_range(aws, info, 0, min(HEAD, info.size))))


def route(picture: Picture, *, turns: bool, by_reference: bool) -> Route:
    """Decides how an image is sent.

    Args:
        picture: The image.
        turns: Whether the operation turns a JPEG as its EXIF says, by its documentation.
        by_reference: Whether Rekognition may read the bucket.
    """
    if picture.header is None or not _taken_as_stored(picture.header, turns=turns):
        return Route.CONVERSION
    if by_reference and picture.info.size <= OBJECT_LIMIT:
        return Route.REFERENCE
    return Route.BYTES if picture.info.size <= BYTES_LIMIT else Route.CONVERSION


async def as_rekognition_takes_it(
    aws: Aws, picture: Picture, *, turns: bool, converted: Callable[[], Awaitable[bytes]]
) -> dict[str, Any]:
    """Returns the `Image` of a request to Rekognition.

    Args:
        aws: The clients.
        picture: The image.
        turns: Whether the operation turns a JPEG as its EXIF says, by its documentation.
        converted: Makes the JPEG, as `convert` does; a job's operations may share one.

    Raises:
        Refused: The image cannot be used.
        ProviderError: S3 cannot be asked for now.
    """
    info = picture.info
    match route(picture, turns=turns, by_reference=aws.settings.read_by_reference):
        case Route.REFERENCE:
            return {"S3Object": {"Bucket": info.bucket, "Name": info.key}}
        case Route.BYTES:
            return {"Bytes": await objects.read_range(aws, info, 0, info.size)}
        case Route.CONVERSION:
            return {"Bytes": await converted()}


async def convert(converter: Converter, picture: Picture) -> bytes:
    """Makes the JPEG of an image that any operation of Rekognition takes.

    Raises:
        Refused: The image cannot be used.
        ProviderError: S3 cannot be asked for now.
    """
    return await converter.jpeg(
        picture.info, most_bytes=BYTES_LIMIT, most_side=MOST_SIDE, least_side=LEAST_SIDE
    )


def _taken_as_stored(header: Header, *, turns: bool) -> bool:
    sides = (header.width, header.height)
    upright = header.orientation == 1 or (
        # AWS, DetectLabels and DetectFaces, OrientationCorrection: JPEGs are turned by EXIF, PNGs are not. It
        # speaks of rotation only, and DetectText's documentation of neither.
        turns and header.kind == "JPEG" and header.orientation in ROTATIONS
    )
    return upright and header.plain and min(sides) >= LEAST_SIDE and max(sides) <= MOST_SIDE
