"""What callers may say of operations on videos, and what AWS is told."""

from typing import Any, get_args

import botocore.session
import msgspec
import pytest

from mediaq.pipelines.spoken import Language
from mediaq.pipelines.video_parameters import Poster, Thumbnails, Transcription, VideoLabels, said


def test_the_languages_are_those_that_transcribe_knows() -> None:
    model = botocore.session.get_session().get_service_model("transcribe")
    assert set(get_args(Language)) == set(model.shape_for("LanguageCode").enum)


@pytest.mark.parametrize(
    ("asked", "aws"),
    [
        (True, {"IdentifyLanguage": True}),
        ({}, {"IdentifyLanguage": True}),
        ({"languageCode": "de-DE"}, {"LanguageCode": "de-DE"}),
        (
            {"languageOptions": ["de-DE", "en-GB"]},
            {"IdentifyLanguage": True, "LanguageOptions": ["de-DE", "en-GB"]},
        ),
        ({"subtitles": ["srt", "vtt"]}, {"IdentifyLanguage": True}),
    ],
)
def test_transcribe_is_told_one_way_to_know_the_language(asked: Any, aws: dict[str, Any]) -> None:
    request = {"operations": {"transcribe": asked}}
    assert said(request, "transcribe", Transcription).as_aws() == aws


@pytest.mark.parametrize(
    ("asked", "start", "pages"),
    [
        ({}, {}, {}),
        ({"minConfidence": 80}, {"MinConfidence": 80}, {}),
        (
            {"includeLabels": ["Cat"], "excludeLabels": ["Dog"], "includeCategories": ["Animals and Pets"],
             "excludeCategories": ["Colors"]},
            {"Settings": {"GeneralLabels": {
                "LabelInclusionFilters": ["Cat"], "LabelExclusionFilters": ["Dog"],
                "LabelCategoryInclusionFilters": ["Animals and Pets"],
                "LabelCategoryExclusionFilters": ["Colors"],
            }}},
            {},
        ),
        ({"sortBy": "NAME", "aggregateBy": "SEGMENTS"}, {}, {"SortBy": "NAME", "AggregateBy": "SEGMENTS"}),
    ],
)  # fmt: skip
def test_rekognition_is_told_what_to_find_at_the_start_and_how_to_show_it_with_each_page(
    asked: Any, start: dict[str, Any], pages: dict[str, Any]
) -> None:
    labels = msgspec.convert(asked, type=VideoLabels)
    assert (labels.as_aws(), labels.as_pages()) == (start, pages)


def test_a_poster_is_asked_for_by_true_or_with_its_time() -> None:
    asked = msgspec.convert({"count": 3, "poster": {"atMs": 1500}}, type=Thumbnails)
    assert (asked.count, asked.poster) == (3, Poster(1500))
    assert msgspec.convert({"poster": True}, type=Thumbnails).poster is True
    assert msgspec.convert({}, type=Thumbnails) == Thumbnails()


@pytest.mark.parametrize(
    ("kind", "asked", "reason"),
    [
        (Transcription, {"languageCode": "en"}, "Invalid enum value 'en' - at `$.languageCode`"),
        (Transcription, {"languageOptions": ["en-US"]}, "`array` of length >= 2 - at `$.languageOptions`"),
        (Transcription, {"languageOptions": ["en-US", "en-US"]}, "names a language twice"),
        (Transcription, {"languageCode": "en-US", "languageOptions": ["en-US", "de-DE"]}, "not both"),
        (Transcription, {"subtitles": ["ass"]}, "Invalid enum value 'ass' - at `$.subtitles[0]`"),
        (Transcription, {"subtitles": []}, "`array` of length >= 1 - at `$.subtitles`"),
        (Transcription, {"language": "en-US"}, "unknown field `language`"),
        (VideoLabels, {"minConfidence": 101}, "`float` <= 100.0 - at `$.minConfidence`"),
        (VideoLabels, {"sortBy": "SIZE"}, "Invalid enum value 'SIZE' - at `$.sortBy`"),
        (VideoLabels, {"maxLabels": 3}, "unknown field `maxLabels`"),
        (Thumbnails, {"count": 0}, "`int` >= 1 - at `$.count`"),
        (Thumbnails, {"count": 101}, "`int` <= 100 - at `$.count`"),
        (Thumbnails, {"side": 15}, "`int` >= 16 - at `$.side`"),
        (Thumbnails, {"side": 4097}, "`int` <= 4096 - at `$.side`"),
        (Thumbnails, {"format": "gif"}, "Invalid enum value 'gif' - at `$.format`"),
        (Thumbnails, {"poster": {"atMs": -1}}, "`int` >= 0 - at `$.poster.atMs`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_place_and_the_reason(
    kind: type[msgspec.Struct], asked: Any, reason: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(asked, type=kind)
    assert reason in str(refused.value)
