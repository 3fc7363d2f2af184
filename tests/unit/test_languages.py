"""Languages given and found: as each operation takes them, or refused in words that say what to do."""

import botocore.session
import pytest

from mediaq.errors import Refused
from mediaq.pipelines import languages
from mediaq.pipelines.comprehend import LANGUAGES, READINGS

TOLD = [name for name, reading in READINGS.items() if reading.languages]
EACH = pytest.mark.parametrize("operation", TOLD)


def test_three_operations_are_told_a_language() -> None:
    assert TOLD == ["detectSentiment", "detectEntities", "detectKeyPhrases"]


@EACH
def test_the_languages_are_those_of_the_service_model(operation: str) -> None:
    model = botocore.session.get_session().get_service_model("comprehend")
    [shape] = [
        model.operation_model(name).input_shape
        for name in model.operation_names
        if name == operation[0].upper() + operation[1:]
    ]
    assert set(READINGS[operation].languages) == set(shape.members["LanguageCode"].enum)


@EACH
@pytest.mark.parametrize("code", LANGUAGES)
def test_a_supported_language_is_taken_as_it_is(operation: str, code: str) -> None:
    assert languages.given(code, operation) == code
    assert languages.found([{"LanguageCode": code, "Score": 0.9}], operation) == code


@pytest.mark.parametrize(
    ("code", "taken"),
    [
        ("EN", "en"),
        ("en-GB", "en"),
        ("pt_BR", "pt"),
        ("de-Latn-AT", "de"),
        ("zh-tw", "zh-TW"),
        ("zh-Hant", "zh-TW"),
        ("zh-Hant-HK", "zh-TW"),
        ("zh-HK", "zh-TW"),
        ("zh-Hans-TW", "zh"),
        ("zh-CN", "zh"),
    ],
)
def test_a_language_of_a_region_or_script_is_taken_as_the_one_that_is_supported(
    code: str, taken: str
) -> None:
    assert languages.given(code, "detectSentiment") == taken


@EACH
@pytest.mark.parametrize("code", ["da", "eng", "english", "e", "-", ""])
def test_a_given_language_that_is_not_supported_is_refused_with_what_to_do(operation: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        languages.given(code, operation)
    assert caught.value.code == "UnsupportedLanguage"
    assert str(caught.value) == (
        f"{operation} does not support the language {code!r} that was given: give languageCode as one of "
        "ar, de, en, es, fr, hi, it, ja, ko, pt, zh, zh-TW, or leave it out to have the language detected"
    )


@EACH
def test_a_language_that_was_found_and_is_not_supported_is_refused_with_what_to_do(operation: str) -> None:
    with pytest.raises(Refused) as caught:
        languages.found(
            [{"LanguageCode": "no", "Score": 0.3}, {"LanguageCode": "da", "Score": 0.65}], operation
        )
    assert caught.value.code == "UnsupportedLanguage"
    assert str(caught.value) == (
        f"{operation} does not support the language that was found in the text, da (score 0.65): if that is "
        "wrong, give languageCode as one of ar, de, en, es, fr, hi, it, ja, ko, pt, zh, zh-TW; "
        f"otherwise leave {operation} out"
    )


def test_the_likeliest_language_is_taken_wherever_it_stands() -> None:
    found = [{"LanguageCode": "da", "Score": 0.3}, {"LanguageCode": "zh-TW", "Score": 0.6}]
    assert languages.found(found, "detectEntities") == "zh-TW"


def test_where_no_language_was_found_one_is_asked_for() -> None:
    with pytest.raises(Refused, match="no language was found in the text: give languageCode") as caught:
        languages.found([], "detectEntities")
    assert caught.value.code == "NoLanguage"
