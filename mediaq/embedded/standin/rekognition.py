"""Rekognition's image operations: labels, text, faces and moderation."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mediaq.embedded.standin import images
from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError, invalid_parameters, serialization_error
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.labels import bounding_box, label_filters, picture_labels, select
from mediaq.embedded.standin.objects import NoObject, Objects, TooLarge
from mediaq.embedded.standin.resources import digest, s3_address, text_digest
from mediaq.embedded.standin.validation import Member

if TYPE_CHECKING:
    from mediaq.embedded.standin.images import Box, Picture

# Amazon Rekognition Developer Guide, "Guidelines and quotas".
BYTES_LIMIT = 5_242_880
OBJECT_LIMIT = 15 * 1024 * 1024
LONGEST_SIDE = 10_000
SHORTEST_SIDE = 80
# Not a limit of AWS's: what this process is ready to unpack.
PIXEL_LIMIT = 200_000_000

LABELS_CONFIDENCE = 55
MODERATION_CONFIDENCE = 50
MOST_LABELS = 1000
MOST_WORDS = 100
TEXT_CONFIDENCE = 99.0

# From these shares of the image on, a colour counts as what often has it.
SKIN_SHARE = 0.5
BLOOD_SHARE = 0.5


def s3_object(path: str) -> tuple[Member, ...]:
    """Return the constraints of the S3Object that stands in `path`."""
    return (
        Member(f"{path}.S3Object", dict),
        Member(f"{path}.S3Object.Bucket", required=True, low=3, high=255, pattern=r"[0-9A-Za-z\.\-_]*"),
        Member(f"{path}.S3Object.Name", required=True, low=1, high=1024),
    )


CONFIDENCE = Member("MinConfidence", (int, float), low=0, high=100)
SETTINGS = (
    Member("Settings", dict),
    Member("Settings.GeneralLabels", dict),
    Member("Settings.GeneralLabels.LabelInclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelExclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelCategoryInclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelCategoryExclusionFilters", list, high=100),
)
IMAGE = (Member("Image", dict, required=True), Member("Image.Bytes"), *s3_object("Image"))


async def detect_labels(invocation: Invocation) -> Answer:
    """Answer DetectLabels: colours, orientation and light."""
    if "IMAGE_PROPERTIES" in invocation.body.get("Features", []):
        raise invalid_parameters("IMAGE_PROPERTIES is not offered here; ask for GENERAL_LABELS only")
    found = await _look(invocation, picture_labels, sized=True)
    least = invocation.body.get("MinConfidence", LABELS_CONFIDENCE)
    chosen = select(found, least, label_filters(invocation.body))
    most = invocation.body.get("MaxLabels", MOST_LABELS)
    return _answer({"Labels": chosen[:most], "LabelModelVersion": "3.0"})


async def detect_text(invocation: Invocation) -> Answer:
    """Answer DetectText: the lines that the file declares in its metadata."""
    return _answer({"TextDetections": await _look(invocation, _texts), "TextModelVersion": "3.0"})


async def detect_faces(invocation: Invocation) -> Answer:
    """Answer DetectFaces: connected skin-coloured areas."""
    return _answer({"FaceDetails": await _look(invocation, _faces)})


async def detect_moderation_labels(invocation: Invocation) -> Answer:
    """Answer DetectModerationLabels: large shares of skin colour or of dark red."""
    found = await _look(invocation, _moderation, sized=True)
    least = invocation.body.get("MinConfidence", MODERATION_CONFIDENCE)
    chosen = [label for label in found if label["Confidence"] >= least]
    return _answer({"ModerationLabels": chosen, "ModerationModelVersion": "7.0", "ContentTypes": []})


def image_resource(body: dict[str, Any]) -> str:
    """Return the image's address in S3, or the digest of the bytes sent."""
    image = body.get("Image")
    data = image.get("Bytes") if isinstance(image, dict) else None
    if data is None:
        return s3_address(image)
    try:
        return digest(_unpacked(data))
    except AwsError:
        return text_digest(data)


def no_object() -> AwsError:
    """Return Rekognition's answer to an object that it cannot read."""
    return AwsError(
        "InvalidS3ObjectException",
        "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
    )


async def _look(
    invocation: Invocation, see: Callable[[Picture], list[dict[str, Any]]], *, sized: bool = False
) -> list[dict[str, Any]]:
    data = await _image_bytes(invocation.standin.objects, invocation.body["Image"])
    return await asyncio.to_thread(lambda: see(_picture(data, sized=sized)))


async def _image_bytes(objects: Objects, image: dict[str, Any]) -> bytes:
    given = [name for name in ("Bytes", "S3Object") if image.get(name) is not None]
    if len(given) != 1:
        raise invalid_parameters()
    if given == ["Bytes"]:
        data = _unpacked(image["Bytes"])
        if len(data) > BYTES_LIMIT:
            raise _too_large(len(data), BYTES_LIMIT)
        return data
    try:
        return await objects.read(image["S3Object"]["Bucket"], image["S3Object"]["Name"], OBJECT_LIMIT)
    except NoObject as error:
        raise no_object() from error
    except TooLarge as error:
        raise _too_large(error.size, OBJECT_LIMIT) from error


def _too_large(size: int, limit: int) -> AwsError:
    message = f"Image size is too large: {size} bytes, the limit is {limit} bytes"
    return AwsError("ImageTooLargeException", message)


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise serialization_error("image.bytes is not valid base64") from error


def _picture(data: bytes, *, sized: bool) -> Picture:
    try:
        image = images.open_image(data)
        _check_sides(*image.size, sized=sized)
        return images.measure(image)
    except images.BadImage as error:
        raise AwsError("InvalidImageFormatException", "Request has invalid image format") from error


def _check_sides(width: int, height: int, *, sized: bool) -> None:
    """Apply the limits in pixels; the longest side is limited for labels and moderation only (`sized`)."""
    if (sized and max(width, height) > LONGEST_SIDE) or width * height > PIXEL_LIMIT:
        raise AwsError(
            "ImageTooLargeException",
            f"Input image dimensions {width} x {height} exceed maximum dimension size of "
            f"{LONGEST_SIDE} pixels",
        )
    if min(width, height) < SHORTEST_SIDE:
        raise invalid_parameters()


def _texts(picture: Picture) -> list[dict[str, Any]]:
    """Lay the declared lines out from top to bottom, as the metadata has no places."""
    count = len(picture.lines)
    lines = [
        _detection(i, None, line, images.Box(0.0, i / count, 1.0, 1 / count))
        for i, line in enumerate(picture.lines)
    ]
    words: list[dict[str, Any]] = []
    for line in lines:
        parts = line["DetectedText"].split()
        top, height = (line["Geometry"]["BoundingBox"][name] for name in ("Top", "Height"))
        for place, part in enumerate(parts):
            box = images.Box(place / len(parts), top, 1 / len(parts), height)
            words.append(_detection(len(lines) + len(words), line["Id"], part, box))
    return lines + words[:MOST_WORDS]


def _detection(number: int, parent: int | None, text: str, box: Box) -> dict[str, Any]:
    right, bottom = box.left + box.width, box.top + box.height
    corners = ((box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom))
    detection = {
        "DetectedText": text,
        "Type": "LINE" if parent is None else "WORD",
        "Id": number,
        "Confidence": TEXT_CONFIDENCE,
        "Geometry": {"BoundingBox": bounding_box(box), "Polygon": [{"X": x, "Y": y} for x, y in corners]},
    }
    return detection if parent is None else {**detection, "ParentId": parent}


def _faces(picture: Picture) -> list[dict[str, Any]]:
    light = images.light(picture)
    quality = {"Brightness": light.brightness, "Sharpness": light.sharpness}
    return [
        {"BoundingBox": bounding_box(blob.box), "Confidence": blob.fill * 100, "Quality": quality}
        for blob in images.skin_blobs(picture)
    ]


def _moderation(picture: Picture) -> list[dict[str, Any]]:
    skin = images.share(images.skin_mask(picture))
    blood = sum(colour.share for colour in images.colours(picture) if colour.name == "Red")
    chains: list[tuple[float, tuple[str, ...]]] = []
    if skin >= SKIN_SHARE:
        chains.append((skin, ("Non-Explicit Nudity of Intimate parts and Kissing", "Non-Explicit Nudity")))
    if blood >= BLOOD_SHARE:
        chains.append((blood, ("Violence", "Graphic Violence", "Blood & Gore")))
    return [
        {
            "Name": name,
            "ParentName": names[i - 1] if i else "",
            "Confidence": share * 100,
            "TaxonomyLevel": i + 1,
        }
        for share, names in chains
        for i, name in enumerate(names)
    ]


def _answer(body: dict[str, Any]) -> Answer:
    return Answer(body, (Charge("rekognition.image", Decimal(1), "image"),))


OPERATIONS = tuple(
    Operation(
        service="rekognition",
        name=name,
        item="rekognition.image",
        answer=answer,
        resource=image_resource,
        members=(*IMAGE, *members),
    )
    for name, answer, members in (
        (
            "DetectLabels",
            detect_labels,
            (
                CONFIDENCE,
                Member("MaxLabels", int, low=0),
                Member("Features", list, high=2, choices=("GENERAL_LABELS", "IMAGE_PROPERTIES")),
                *SETTINGS,
            ),
        ),
        ("DetectText", detect_text, ()),
        ("DetectFaces", detect_faces, (Member("Attributes", list),)),
        ("DetectModerationLabels", detect_moderation_labels, (CONFIDENCE,)),
    )
)
