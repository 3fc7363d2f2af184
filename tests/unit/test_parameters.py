"""What callers may say of image operations, and what AWS is told."""

from typing import Any

import msgspec
import pytest

from mediaq.pipelines.parameters import Faces, Labels, Moderation, Parameters, Text, aws_parameters


@pytest.mark.parametrize(
    ("kind", "asked", "aws"),
    [
        (None, True, {}),
        (Labels, True, {}),
        (Labels, {}, {}),
        (Labels, {"maxLabels": 10, "minConfidence": 0}, {"MaxLabels": 10, "MinConfidence": 0}),
        (
            Labels,
            {"includeLabels": ["Cat"], "excludeLabels": ["Dog"], "includeCategories": ["Animals and Pets"],
             "excludeCategories": ["Colors"]},
            {"Settings": {"GeneralLabels": {
                "LabelInclusionFilters": ["Cat"], "LabelExclusionFilters": ["Dog"],
                "LabelCategoryInclusionFilters": ["Animals and Pets"],
                "LabelCategoryExclusionFilters": ["Colors"],
            }}},
        ),
        (Text, {"minConfidence": 90.5}, {"Filters": {"WordFilter": {"MinConfidence": 90.5}}}),
        (
            Text,
            {"minWordWidth": 0.1, "minWordHeight": 0.2,
             "regions": [{"left": 0, "top": 0.5, "width": 1, "height": 0.5}]},
            {"Filters": {
                "WordFilter": {"MinBoundingBoxWidth": 0.1, "MinBoundingBoxHeight": 0.2},
                "RegionsOfInterest": [{"BoundingBox": {"Left": 0, "Top": 0.5, "Width": 1, "Height": 0.5}}],
            }},
        ),
        (Faces, {}, {}),
        (Faces, {"attributes": "ALL"}, {"Attributes": ["ALL"]}),
        (Faces, {"attributes": ["DEFAULT", "SMILE"]}, {"Attributes": ["DEFAULT", "SMILE"]}),
        (Moderation, {"minConfidence": 100}, {"MinConfidence": 100}),
    ],
)  # fmt: skip
def test_what_is_asked_reaches_aws_by_its_own_names_and_what_is_not_is_left_to_it(
    kind: type[Parameters] | None, asked: Any, aws: dict[str, Any]
) -> None:
    assert aws_parameters(kind, asked) == aws


@pytest.mark.parametrize(
    ("kind", "asked", "reason"),
    [
        (Labels, {"maxLabels": 0}, "Expected `int` >= 1 - at `$.maxLabels`"),
        (Labels, {"maxLabels": 1001}, "Expected `int` <= 1000 - at `$.maxLabels`"),
        (Labels, {"maxLabels": 1.5}, "Expected `int | null`, got `float` - at `$.maxLabels`"),
        (Labels, {"maxLabels": "10"}, "Expected `int | null`, got `str` - at `$.maxLabels`"),
        (Labels, {"minConfidence": -0.1}, "Expected `float` >= 0.0 - at `$.minConfidence`"),
        (Labels, {"minConfidence": 100.1}, "Expected `float` <= 100.0 - at `$.minConfidence`"),
        (Labels, {"MaxLabels": 3}, "Object contains unknown field `MaxLabels`"),
        (Labels, {"features": ["IMAGE_PROPERTIES"]}, "Object contains unknown field `features`"),
        (Labels, {"includeLabels": []}, "Expected `array` of length >= 1 - at `$.includeLabels`"),
        (Labels, {"includeLabels": ["x"] * 101}, "Expected `array` of length <= 100 - at `$.includeLabels`"),
        (Labels, {"includeLabels": ["x" * 51]}, "Expected `str` of length <= 50 - at `$.includeLabels[0]`"),
        (Labels, {"includeLabels": ["a;b~"]}, "matching regex"),
        (Text, {"minWordHeight": 1.1}, "Expected `float` <= 1.0 - at `$.minWordHeight`"),
        (Text, {"regions": [{"left": 0, "top": 0, "width": 1}]}, "missing required field `height`"),
        (Text, {"regions": [{"left": 0, "top": 0, "width": 2, "height": 1}]}, "at `$.regions[0].width`"),
        (Text, {"regions": [{"left": 0.5, "top": 0, "width": 0.6, "height": 1}]}, "reaches beyond the image"),
        (Text, {"regions": [{"left": 0, "top": 0.5, "width": 1, "height": 0.6}]}, "reaches beyond the image"),
        (Faces, {"attributes": "SOME"}, "Invalid enum value 'SOME' - at `$.attributes`"),
        (Faces, {"attributes": ["SMELL"]}, "Invalid enum value 'SMELL' - at `$.attributes[0]`"),
        (Faces, {"attributes": []}, "Expected `array` of length >= 1 - at `$.attributes`"),
        (Moderation, {"minConfidence": None, "x": 1}, "Object contains unknown field `x`"),
        (Moderation, [], "Expected `object`, got `array`"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_place_and_the_reason(
    kind: type[Parameters], asked: Any, reason: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(asked, type=kind)
    assert reason in str(refused.value)


@pytest.mark.parametrize("kind", [Labels, Text, Faces, Moderation])
def test_an_operation_is_asked_for_by_true_or_by_its_parameters(kind: type[Parameters]) -> None:
    asked = msgspec.defstruct("Asked", [("it", bool | kind, False)], forbid_unknown_fields=True)
    values: tuple[Any, ...] = (True, False, {})
    for value in values:
        found: Any = msgspec.json.decode(msgspec.json.encode({"it": value}), type=asked)
        assert msgspec.to_builtins(found.it) == value
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.it`"):
        msgspec.convert({"it": {"unknown": 1}}, type=asked)
