"""Images as Rekognition takes them: the object in S3 itself, its bytes, or a JPEG made of it.

Whatever is sent shows the image as a browser does, so that the places in Rekognition's answers (boxes,
polygons, landmarks, the roll of a face) are places in that view and need no translation.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from mediaq.aws import objects
from mediaq.aws.clients import Aws
from mediaq.aws.objects import ObjectInfo
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

EMBEDDED_BYTES = 25_000_000 * 3 // 4 - 1_000
"""Bytes of an image that Titan Multimodal embeds: a body has 25 MB, and base64 makes four bytes of three."""

EMBEDDED_SIDE = 2048
"""Pixels of the longer side of such an image. AWS, Bedrock, "Titan Multimodal Embeddings": 2048 x 2048."""

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
    info, start = await objects.read_start(aws, bucket, key, HEAD)
    return Picture(info, read_header(start))


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


async def fetch(aws: Aws, converter: Converter, picture: Picture, way: Route) -> bytes:
    """Returns the bytes that any operation of Rekognition takes: the object's own, or the JPEG made of it.

    Args:
        aws: The clients.
        converter: Makes the JPEG.
        picture: The image.
        way: How it gets to Rekognition, other than by reference.

    Raises:
        Refused: The image cannot be used.
        ProviderError: S3 cannot be asked for now.
    """
    if way is Route.BYTES:
        return await objects.read_range(aws, picture.info, 0, picture.info.size)
    return await converter.jpeg(
        picture.info, most_bytes=BYTES_LIMIT, most_side=MOST_SIDE, least_side=LEAST_SIDE
    )


async def for_embedding(aws: Aws, converter: Converter, bucket: str, key: str) -> bytes:
    """Returns the bytes of an image that Titan Multimodal takes: the object's own, or a JPEG made of it.

    Raises:
        Refused: There is no such object, or the image cannot be used.
        ProviderError: S3 cannot be asked for now.
    """
    picture = await look(aws, bucket, key)
    if picture.header is not None and _embedded_as_stored(picture.header, picture.info.size):
        return await objects.read_range(aws, picture.info, 0, picture.info.size)
    return await converter.jpeg(
        picture.info, most_bytes=EMBEDDED_BYTES, most_side=EMBEDDED_SIDE, least_side=1
    )


def _embedded_as_stored(header: Header, size: int) -> bool:
    # Whether Titan turns a JPEG as its EXIF says its documentation does not say.
    upright_and_plain = header.orientation == 1 and header.plain
    return upright_and_plain and max(header.width, header.height) <= EMBEDDED_SIDE and size <= EMBEDDED_BYTES


def _taken_as_stored(header: Header, *, turns: bool) -> bool:
    sides = (header.width, header.height)
    upright = header.orientation == 1 or (
        # AWS, DetectLabels and DetectFaces, OrientationCorrection: JPEGs are turned by EXIF, PNGs are not. It
        # speaks of rotation only, and DetectText's documentation of neither.
        turns and header.kind == "JPEG" and header.orientation in ROTATIONS
    )
    return upright and header.plain and min(sides) >= LEAST_SIDE and max(sides) <= MOST_SIDE
