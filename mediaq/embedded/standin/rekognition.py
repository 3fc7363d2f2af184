"""Rekognition's image operations: labels, text, faces and moderation.

The limits are AWS's, to the byte and to the pixel. What is answered is measured in the image (colours, light,
shape, skin-coloured areas) or read from its metadata (text); what only a model could tell is left out.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from mediaq.embedded.standin import images
from mediaq.embedded.standin.book import Charge
from mediaq.embedded.standin.errors import AwsError, invalid_parameters, serialization_error
from mediaq.embedded.standin.invocations import Answer, Invocation, Operation
from mediaq.embedded.standin.labels import bounding_box, label_filters, picture_labels, select
from mediaq.embedded.standin.objects import NoObject, Objects, TooLarge
from mediaq.embedded.standin.resources import digest, s3_address, text_digest
from mediaq.embedded.standin.validation import Member, check_length
from mediaq.embedded.standin.words import filtered, picture_text

if TYPE_CHECKING:
    from mediaq.embedded.standin.images import Picture

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

# From these shares of the image on, a colour counts as what often has it.
SKIN_SHARE = 0.5
BLOOD_SHARE = 0.5
# An ellipse fills 0.79 of its rectangle: of a face that fills less, something covers a part.
UNCOVERED_FILL = 0.75


def s3_object(path: str) -> tuple[Member, ...]:
    """Return the constraints of the S3Object that stands in `path`."""
    return (
        Member(f"{path}.S3Object", dict),
        Member(f"{path}.S3Object.Bucket", required=True, low=3, high=255, pattern=r"[0-9A-Za-z\.\-_]*"),
        Member(f"{path}.S3Object.Name", required=True, low=1, high=1024),
    )


CONFIDENCE = Member("MinConfidence", (int, float), low=0, high=100)
# Amazon Rekognition API reference, DetectFaces.
ATTRIBUTES = (
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
)
WORD_FILTER = "Filters.WordFilter"
FILTERS = (
    Member("Filters", dict),
    Member(WORD_FILTER, dict),
    Member(f"{WORD_FILTER}.MinConfidence", (int, float), low=0, high=100),
    Member(f"{WORD_FILTER}.MinBoundingBoxHeight", (int, float), low=0, high=1),
    Member(f"{WORD_FILTER}.MinBoundingBoxWidth", (int, float), low=0, high=1),
    Member("Filters.RegionsOfInterest", list, high=10),
)
SETTINGS = (
    Member("Settings", dict),
    Member("Settings.GeneralLabels", dict),
    Member("Settings.GeneralLabels.LabelInclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelExclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelCategoryInclusionFilters", list, high=100),
    Member("Settings.GeneralLabels.LabelCategoryExclusionFilters", list, high=100),
)
IMAGE_BYTES = Member("Image.Bytes", low=1, high=BYTES_LIMIT)
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
    found = filtered(await _look(invocation, picture_text), invocation.body.get("Filters") or {})
    return _answer({"TextDetections": found, "TextModelVersion": "3.0"})


async def detect_faces(invocation: Invocation) -> Answer:
    """Answer DetectFaces: connected skin-coloured areas.

    Of the attributes that can be asked for only `FACE_OCCLUDED` is measured; the others need a model, as do
    the landmarks and the pose of `DEFAULT`, and are left out.
    """
    asked = frozenset(invocation.body.get("Attributes", ("DEFAULT",)))
    return _answer({"FaceDetails": await _look(invocation, partial(_faces, asked=asked))})


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
        check_length(len(data), IMAGE_BYTES)
        return data
    try:
        return await objects.read(image["S3Object"]["Bucket"], image["S3Object"]["Name"], OBJECT_LIMIT)
    except NoObject as error:
        raise no_object() from error
    except TooLarge as error:
        message = f"Image size is too large: {error.size} bytes, the limit is {OBJECT_LIMIT} bytes"
        raise AwsError("ImageTooLargeException", message) from error


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


def _faces(picture: Picture, asked: frozenset[str]) -> list[dict[str, Any]]:
    light = images.light(picture)
    quality = {"Brightness": light.brightness, "Sharpness": light.sharpness}
    faces: list[dict[str, Any]] = [
        {"BoundingBox": bounding_box(blob.box), "Confidence": blob.fill * 100, "Quality": quality}
        for blob in images.skin_blobs(picture)
    ]
    if asked & {"ALL", "FACE_OCCLUDED"}:
        for face in faces:
            face["FaceOccluded"] = _occluded(face["Confidence"])
    return faces


def _occluded(fill: float) -> dict[str, Any]:
    return {"Value": fill < 100 * UNCOVERED_FILL, "Confidence": max(fill, 100 - fill)}


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
        ("DetectText", detect_text, FILTERS),
        ("DetectFaces", detect_faces, (Member("Attributes", list, choices=ATTRIBUTES),)),
        ("DetectModerationLabels", detect_moderation_labels, (CONFIDENCE,)),
    )
)
