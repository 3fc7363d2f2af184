"""What callers may say of an image operation, in the web's own style of names, and what AWS calls it.

An operation's parameters are one type: its fields are what a request may hold, its `as_aws` what the call
gets. `IMAGE_PROPERTIES` of DetectLabels is not offered: AWS bills it beside the labels, at its own price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

Confidence = Annotated[
    float, Meta(ge=0, le=100, description="Least confidence, in percent, of what is returned.")
]
Share = Annotated[float, Meta(ge=0, le=1, description="Share of the image's width or height.")]
# AWS, API reference, GeneralLabelsSettings: names of at most 50 characters, 100 of them.
LabelName = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"\A[A-Za-z0-9àâèçñó'-_(). ]*\Z")]
LabelNames = Annotated[list[LabelName], Meta(min_length=1, max_length=100)]
# AWS, API reference, DetectFaces, Attributes.
FaceAttribute = Literal[
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "FACE_OCCLUDED",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "SMILE",
    "SUNGLASSES",
]


class Parameters(Protocol):
    """What a caller says of one operation."""

    __struct_encode_fields__: ClassVar[tuple[str, ...]]

    def as_aws(self) -> dict[str, Any]:
        """Returns the call's parameters; what the caller left out is AWS's own default."""


class Said(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename="camel"):
    """How all of them are read: an unknown name is an error."""


class LabelFilters(Said, frozen=True):
    """What callers may say of labels, of images and of videos.

    Args:
        min_confidence: AWS's default is 55 for images, 50 for videos.
        include_labels: Only these labels, and those of `include_categories`.
        exclude_labels: Not these labels.
        include_categories: Only labels of these categories, and `include_labels`.
        exclude_categories: Not labels of these categories.
    """

    min_confidence: Confidence | None = None
    include_labels: LabelNames | None = None
    exclude_labels: LabelNames | None = None
    include_categories: LabelNames | None = None
    exclude_categories: LabelNames | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns what DetectLabels and StartLabelDetection both take."""
        filters = given(
            LabelInclusionFilters=self.include_labels,
            LabelExclusionFilters=self.exclude_labels,
            LabelCategoryInclusionFilters=self.include_categories,
            LabelCategoryExclusionFilters=self.exclude_categories,
        )
        return given(
            MinConfidence=self.min_confidence, Settings={"GeneralLabels": filters} if filters else None
        )


class Labels(LabelFilters, frozen=True):
    """Parameters of an image's detectLabels.

    Args:
        max_labels: AWS, DetectLabels: at most 1,000, which is also what it returns unasked.
    """

    max_labels: Annotated[int, Meta(ge=1, le=1000)] | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of DetectLabels."""
        return {**given(MaxLabels=self.max_labels), **super().as_aws()}


class Region(Said, frozen=True):
    """A rectangle of the image as a browser shows it.

    Args:
        left: Of the image's width.
        top: Of its height.
        width: Of its width.
        height: Of its height.
    """

    left: Share
    top: Share
    width: Share
    height: Share

    def __post_init__(self) -> None:
        # A browser that divides pixels may come out a little beyond.
        if max(self.left + self.width, self.top + self.height) > 1 + 1e-6:
            raise ValueError(
                "The region reaches beyond the image: left + width and top + height are at most 1"
            )

    def as_aws(self) -> dict[str, Any]:
        """Returns AWS's RegionOfInterest."""
        box = {"Left": self.left, "Top": self.top, "Width": self.width, "Height": self.height}
        return {"BoundingBox": box}


class Text(Said, frozen=True):
    """Parameters of detectText.

    Args:
        min_confidence: Of a word; AWS's default is 80.
        min_word_width: Words that are narrower are left out.
        min_word_height: Words that are lower are left out.
        regions: Where to look; AWS, DetectTextFilters: at most 10.
    """

    min_confidence: Confidence | None = None
    min_word_width: Share | None = None
    min_word_height: Share | None = None
    regions: Annotated[list[Region], Meta(min_length=1, max_length=10)] | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of DetectText."""
        words = given(
            MinConfidence=self.min_confidence,
            MinBoundingBoxWidth=self.min_word_width,
            MinBoundingBoxHeight=self.min_word_height,
        )
        filters = given(
            WordFilter=words or None,
            RegionsOfInterest=[region.as_aws() for region in self.regions] if self.regions else None,
        )
        return {"Filters": filters} if filters else {}


class Faces(Said, frozen=True):
    """Parameters of detectFaces.

    Args:
        attributes: DEFAULT, ALL, or a list of what to tell besides what DEFAULT tells.
    """

    attributes: Literal["DEFAULT", "ALL"] | Annotated[list[FaceAttribute], Meta(min_length=1)] | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of DetectFaces."""
        chosen = [self.attributes] if isinstance(self.attributes, str) else self.attributes
        return given(Attributes=chosen)


class Moderation(Said, frozen=True):
    """Parameters of detectModerationLabels.

    Args:
        min_confidence: AWS's default is 50.
    """

    min_confidence: Confidence | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of DetectModerationLabels."""
        return given(MinConfidence=self.min_confidence)


def aws_parameters(kind: type[Parameters] | None, asked: bool | Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of an operation's call.

    Args:
        kind: The operation's parameters; None where it has none.
        asked: What the accepted request says of it: true, or an object that is an instance of `kind`.
    """
    if kind is None or asked is True:
        return {}
    return msgspec.convert(asked, type=kind).as_aws()


def given(**parameters: Any) -> dict[str, Any]:
    """Returns those parameters that have a value."""
    return {name: value for name, value in parameters.items() if value is not None}
