"""What callers may say of an operation on a video, in the web's own style of names, and what AWS calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from mediaq.pipelines.languages import Language

Confidence = Annotated[
    float, Meta(ge=0, le=100, description="Least confidence, in percent, of what is returned.")
]
# AWS, API reference, GeneralLabelsSettings: names of at most 50 characters, 100 of them.
LabelName = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"\A[A-Za-z0-9àâèçñó'-_(). ]*\Z")]
LabelNames = Annotated[list[LabelName], Meta(min_length=1, max_length=100)]
Subtitles = Literal["srt", "vtt"]
PictureKind = Literal["jpeg", "png", "webp"]

S = TypeVar("S", bound=msgspec.Struct)


class _Said(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename="camel"):
    """How all of them are read: an unknown name is an error."""


class Transcription(_Said, frozen=True):
    """Parameters of transcribe; without a language it is identified.

    Args:
        language_code: What is spoken.
        language_options: What may be spoken, where it is to be identified; AWS: two or more.
        subtitles: The kinds of subtitles that are written beside the transcript.
    """

    language_code: Language | None = None
    language_options: (
        Annotated[list[Language], Meta(min_length=2, max_length=len(get_args(Language)))] | None
    ) = None
    subtitles: Annotated[list[Subtitles], Meta(min_length=1, max_length=2)] | None = None

    def __post_init__(self) -> None:
        if self.language_code and self.language_options:
            raise ValueError("Give languageCode, or languageOptions to choose from, not both")
        if len(set(self.language_options or ())) != len(self.language_options or ()):
            raise ValueError("languageOptions names a language twice")

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of StartTranscriptionJob; AWS wants exactly one way to know the language."""
        if self.language_code:
            return {"LanguageCode": self.language_code}
        return _given(IdentifyLanguage=True, LanguageOptions=self.language_options)


class VideoLabels(_Said, frozen=True):
    """Parameters of a video's detectLabels.

    Args:
        min_confidence: AWS's default is 50.
        include_labels: Only these labels, and those of `include_categories`.
        exclude_labels: Not these labels.
        include_categories: Only labels of these categories, and `include_labels`.
        exclude_categories: Not labels of these categories.
        sort_by: The order of the labels; AWS's default is TIMESTAMP.
        aggregate_by: Each sighting, or the stretches of time in which a label is seen; AWS's default is
            TIMESTAMPS.
    """

    min_confidence: Confidence | None = None
    include_labels: LabelNames | None = None
    exclude_labels: LabelNames | None = None
    include_categories: LabelNames | None = None
    exclude_categories: LabelNames | None = None
    sort_by: Literal["NAME", "TIMESTAMP"] | None = None
    aggregate_by: Literal["TIMESTAMPS", "SEGMENTS"] | None = None

    def as_aws(self) -> dict[str, Any]:
        """Returns the parameters of StartLabelDetection."""
        filters = _given(
            LabelInclusionFilters=self.include_labels,
            LabelExclusionFilters=self.exclude_labels,
            LabelCategoryInclusionFilters=self.include_categories,
            LabelCategoryExclusionFilters=self.exclude_categories,
        )
        return _given(
            MinConfidence=self.min_confidence, Settings={"GeneralLabels": filters} if filters else None
        )

    def as_pages(self) -> dict[str, Any]:
        """Returns the parameters of GetLabelDetection: of the first page and of all that follow."""
        return _given(SortBy=self.sort_by, AggregateBy=self.aggregate_by)


class Poster(_Said, frozen=True):
    """The picture that stands for the film.

    Args:
        at_ms: When the film shows it, in milliseconds; None: after a tenth of the film.
    """

    at_ms: Annotated[int, Meta(ge=0)] | None = None


class Thumbnails(_Said, frozen=True):
    """Parameters of generateThumbnails; what is left out is as the settings have it.

    Args:
        count: How many, at even times.
        side: Pixels of the longer side at most.
        format: The kind of file.
        poster: Whether to take a poster besides, or when.
    """

    count: Annotated[int, Meta(ge=1, le=100)] | None = None
    side: Annotated[int, Meta(ge=16, le=4096)] | None = None
    format: PictureKind = "jpeg"
    poster: bool | Poster = False


def said(request: Mapping[str, Any], operation: str, kind: type[S]) -> S:
    """Returns what an accepted request says of an operation: true, or an object that is a `kind`."""
    asked = request["operations"][operation]
    return kind() if asked is True else msgspec.convert(asked, type=kind)


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
