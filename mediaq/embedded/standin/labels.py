"""Labels in Rekognition's shape, from the measures of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from mediaq.embedded.standin import images

if TYPE_CHECKING:
    from mediaq.embedded.standin.images import Box, Picture

# A colour that covers less than this share gets no label.
LEAST_SHARE = 0.1
DARK_BELOW = 25.0
BRIGHT_FROM = 75.0
SURE = 99.0


@frozen
class Filters:
    """Which labels the caller wants; empty: all of them."""

    names: frozenset[str] = frozenset()
    not_names: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    not_categories: frozenset[str] = frozenset()


def label_filters(body: dict[str, Any]) -> Filters:
    """Read `Settings.GeneralLabels` of a request."""
    general = (body.get("Settings") or {}).get("GeneralLabels") or {}
    parts = ("LabelInclusionFilters", "LabelExclusionFilters")
    more = ("LabelCategoryInclusionFilters", "LabelCategoryExclusionFilters")
    return Filters(*(frozenset(general.get(name, ())) for name in (*parts, *more)))


def picture_labels(picture: Picture) -> list[dict[str, Any]]:
    """Label a picture's colours, orientation and light, the surest first."""
    found = [_colour_label(colour) for colour in images.colours(picture) if colour.share >= LEAST_SHARE]
    found.append(_label(f"{_orientation(picture)} Orientation", SURE, "Orientation", "Image Format"))
    brightness = images.light(picture).brightness
    if brightness < DARK_BELOW:
        found.append(_label("Dark", 100 - brightness, "Lighting", "Visual Conditions"))
    if brightness >= BRIGHT_FROM:
        found.append(_label("Bright", brightness, "Lighting", "Visual Conditions"))
    return sorted(found, key=lambda label: -label["Confidence"])


def select(labels: list[dict[str, Any]], least: float, filters: Filters) -> list[dict[str, Any]]:
    """Keep the labels that are sure enough and that the caller wants."""
    return [label for label in labels if label["Confidence"] >= least and _wanted(label, filters)]


def bounding_box(box: Box) -> dict[str, float]:
    """Return a rectangle as Rekognition writes it."""
    return {"Width": box.width, "Height": box.height, "Left": box.left, "Top": box.top}


def _wanted(label: dict[str, Any], filters: Filters) -> bool:
    name, category = label["Name"], label["Categories"][0]["Name"]
    if name in filters.not_names or category in filters.not_categories:
        return False
    if not filters.names and not filters.categories:
        return True
    return name in filters.names or category in filters.categories


def _colour_label(colour: images.Colour) -> dict[str, Any]:
    # A tenth of the image is just worth a mention, all of it is certain.
    confidence = min(SURE, 55 + 45 * colour.share)
    label = _label(colour.name, confidence, "Color", "Colors")
    return {**label, "Instances": [{"BoundingBox": bounding_box(colour.box), "Confidence": confidence}]}


def _label(name: str, confidence: float, parent: str, category: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Confidence": confidence,
        "Instances": [],
        "Parents": [{"Name": parent}],
        "Aliases": [],
        "Categories": [{"Name": category}],
    }


def _orientation(picture: Picture) -> str:
    if picture.width == picture.height:
        return "Square"
    return "Landscape" if picture.width > picture.height else "Portrait"
