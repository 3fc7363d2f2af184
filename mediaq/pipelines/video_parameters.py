"""What callers may say of an operation on a video, in the web's own style of names, and what AWS calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from mediaq.pipelines.parameters import LabelFilters, Said, given
from mediaq.pipelines.spoken import Language

Subtitles = Literal["srt", "vtt"]
PictureKind = Literal["jpeg", "png", "webp"]

SEVERAL_LANGUAGES = Meta(
    min_length=2, max_length=len(get_args(Language)), extra_json_schema={"uniqueItems": True}
)

S = TypeVar("S", bound=msgspec.Struct)


class Transcription(Said, frozen=True):
    """Parameters of transcribe; without a language it is identified.

    Args:
        language_code: What is spoken.
        language_options: What may be spoken, where it is to be identified; AWS: two or more.
        subtitles: The kinds of subtitles that are written beside the transcript.
    """

    rules: ClassVar[Mapping[str, Any]] = {
        "anyOf": [{"properties": {name: {"type": "null"}}} for name in ("languageCode", "languageOptions")]
    }

    language_code: Language | None = None
    language_options: Annotated[list[Language], SEVERAL_LANGUAGES] | None = None
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
        return given(IdentifyLanguage=True, LanguageOptions=self.language_options)


class VideoLabels(LabelFilters, frozen=True):
    """Parameters of a video's detectLabels.

    Args:
        sort_by: The order of the labels; AWS's default is TIMESTAMP.
        aggregate_by: Each sighting, or the stretches of time in which a label is seen; AWS's default is
            TIMESTAMPS.
    """

    sort_by: Literal["NAME", "TIMESTAMP"] | None = None
    aggregate_by: Literal["TIMESTAMPS", "SEGMENTS"] | None = None

    def as_pages(self) -> dict[str, Any]:
        """Returns the parameters of GetLabelDetection: of the first page and of all that follow."""
        return given(SortBy=self.sort_by, AggregateBy=self.aggregate_by)


class Poster(Said, frozen=True):
    """The picture that stands for the film.

    Args:
        at_ms: When the film shows it, in milliseconds; None: after a tenth of the film.
    """

    at_ms: Annotated[int, Meta(ge=0)] | None = None


class Thumbnails(Said, frozen=True):
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
