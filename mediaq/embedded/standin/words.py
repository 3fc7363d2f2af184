"""Text in Rekognition's shape, from the lines that a picture's file declares, as the caller filters it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mediaq.embedded.standin.errors import invalid_parameters
from mediaq.embedded.standin.images import Box
from mediaq.embedded.standin.labels import bounding_box

if TYPE_CHECKING:
    from mediaq.embedded.standin.images import Picture

CONFIDENCE = 99.0
# Amazon Rekognition Developer Guide, "Guidelines and quotas".
MOST_WORDS = 100


def picture_text(picture: Picture) -> list[dict[str, Any]]:
    """Lay the declared lines out from top to bottom, as the metadata has no places; then their words."""
    count = len(picture.lines)
    lines = [
        _detection(i, None, line, Box(0.0, i / count, 1.0, 1 / count)) for i, line in enumerate(picture.lines)
    ]
    words: list[dict[str, Any]] = []
    for line in lines:
        parts = line["DetectedText"].split()
        top, height = (line["Geometry"]["BoundingBox"][name] for name in ("Top", "Height"))
        for place, part in enumerate(parts):
            box = Box(place / len(parts), top, 1 / len(parts), height)
            words.append(_detection(len(lines) + len(words), line["Id"], part, box))
    return lines + words[:MOST_WORDS]


def filtered(found: list[dict[str, Any]], filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Keep the words that the caller wants, and the lines that still have one.

    Raises:
        AwsError: A region is no rectangle; AWS takes polygons too.
    """
    least = filters.get("WordFilter") or {}
    regions = [_rectangle(region) for region in filters.get("RegionsOfInterest") or ()]
    words = [word for word in found if word["Type"] == "WORD" and _wanted(word, least, regions)]
    lines = {word["ParentId"] for word in words}
    return [line for line in found if line["Type"] == "LINE" and line["Id"] in lines] + words


def _wanted(word: dict[str, Any], least: dict[str, Any], regions: list[Box]) -> bool:
    box = Box(*(word["Geometry"]["BoundingBox"][name] for name in ("Left", "Top", "Width", "Height")))
    large = box.width >= least.get("MinBoundingBoxWidth", 0) and box.height >= least.get(
        "MinBoundingBoxHeight", 0
    )
    sure = word["Confidence"] >= least.get("MinConfidence", 0)
    return sure and large and (not regions or any(_middle_within(box, region) for region in regions))


def _middle_within(box: Box, region: Box) -> bool:
    x, y = box.left + box.width / 2, box.top + box.height / 2
    across, down = x - region.left, y - region.top
    return 0 <= across <= region.width and 0 <= down <= region.height


def _rectangle(region: dict[str, Any]) -> Box:
    if not isinstance(box := region.get("BoundingBox"), dict):
        raise invalid_parameters("Regions other than a BoundingBox are not offered here")
    return Box(*(box.get(name, 0.0) for name in ("Left", "Top", "Width", "Height")))


def _detection(number: int, parent: int | None, text: str, box: Box) -> dict[str, Any]:
    right, bottom = box.left + box.width, box.top + box.height
    corners = ((box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom))
    detection = {
        "DetectedText": text,
        "Type": "LINE" if parent is None else "WORD",
        "Id": number,
        "Confidence": CONFIDENCE,
        "Geometry": {"BoundingBox": bounding_box(box), "Polygon": [{"X": x, "Y": y} for x, y in corners]},
    }
    return detection if parent is None else {**detection, "ParentId": parent}
