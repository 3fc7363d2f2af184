"""What callers may ask for: every pipeline's request type, and the operations that follow from it."""

import re
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from mediaq.pipelines import image
from mediaq.pipelines.catalog import PIPELINES, find_pipeline
from mediaq.pipelines.operation import Operation, Pipeline
from mediaq.pipelines.requests import ObjectKey, request_type

LEAST: dict[str, dict[str, Any]] = {
    "image-processing": {"mediaItemId": "m", "s3Key": "a.jpg", "operations": {"detectLabels": True}},
    "video-processing": {"mediaItemId": "m", "s3Key": "a.mp4", "operations": {"transcribe": True}},
    "text-analysis": {"mediaItemId": "m", "text": "a text", "operations": {"detectLanguage": True}},
    "embedding-generation": {"mediaItemId": "m", "contentType": "text", "content": "a text"},
}
ANALYSES = [name for name, least in LEAST.items() if "operations" in least]
OPERATIONS = {
    "image-processing": ("detectLabels", "detectText", "detectFaces", "detectModerationLabels"),
    "video-processing": ("transcribe", "detectLabels", "generateThumbnails"),
    "text-analysis": ("detectLanguage", "detectSentiment", "detectEntities", "detectKeyPhrases"),
    "embedding-generation": ("generateEmbedding",),
}
EACH = pytest.mark.parametrize("name", LEAST)


def asked(name: str, **changes: Any) -> Any:
    """Decode a pipeline's least request with changes, as the service does; `...` leaves a field out."""
    body = {key: value for key, value in {**LEAST[name], **changes}.items() if value is not ...}
    return msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(body), type=PIPELINES[name].request))


def refused(name: str, reason: str, **changes: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        asked(name, **changes)


def planned(name: str, **changes: Any) -> tuple[str, ...]:
    pipeline: Pipeline = PIPELINES[name]
    return pipeline.planned(asked(name, **changes))


def test_the_catalogue_has_four_pipelines_with_twelve_operations() -> None:
    found = {name: tuple(each.name for each in pipeline.operations) for name, pipeline in PIPELINES.items()}
    assert found == OPERATIONS
    assert find_pipeline("text-analysis") is PIPELINES["text-analysis"]
    assert find_pipeline("audio") is None


@EACH
def test_each_result_of_a_pipeline_has_a_key_of_its_own(name: str) -> None:
    keys = [operation.result for operation in PIPELINES[name].operations]
    assert len(set(keys)) == len(keys)


@EACH
def test_the_least_request_is_enough_and_nothing_is_added_to_what_is_kept_of_it(name: str) -> None:
    kept = asked(name)
    kept["operations"] = {key: value for key, value in kept.get("operations", {}).items() if value}
    assert kept == {"operations": {}, **LEAST[name]}


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, least in LEAST.items() for field in least]
)
def test_a_required_field_that_is_missing_is_refused(name: str, field: str) -> None:
    refused(name, f"Object missing required field `{field}`", **{field: ...})


@EACH
def test_an_unknown_field_is_refused(name: str) -> None:
    refused(name, "unknown field `s3key`", s3key="a.jpg")


@EACH
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mediaItemId", 7),
        ("mediaItemId", None),
        ("mediaItemId", ""),
        ("mediaItemId", "m" * 201),
        ("mediaItemId", "m\0"),
        ("mediaItemId", "m\n\0"),
        ("costCenter", ""),
        ("costCenter", ["team"]),
        ("costCenter", "\0team"),
        ("userId", 1),
        ("s3Key", ""),
        ("s3Key", {"key": "a.jpg"}),
        ("s3Key", "a\0.jpg"),
        ("s3Key", "k" * 1025),
    ],
)
def test_a_common_field_of_the_wrong_kind_is_refused(name: str, field: str, value: Any) -> None:
    refused(name, rf"at `\$\.{field}`", **{field: value})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("video-processing", "duration", "long"),
        ("text-analysis", "text", ""),
        ("text-analysis", "text", "a\0"),
        ("text-analysis", "text", 5),
        ("text-analysis", "languageCode", ""),
        ("embedding-generation", "contentType", "audio"),
        ("embedding-generation", "content", ""),
        ("embedding-generation", "content", "\0"),
        ("embedding-generation", "metadata", ["a"]),
    ],
)
def test_a_pipelines_own_field_of_the_wrong_kind_is_refused(name: str, field: str, value: Any) -> None:
    refused(name, rf"at `\$\.{field}`", **{field: value})


@pytest.mark.parametrize("name", ANALYSES)
def test_operations_are_named_each_by_true_and_one_at_least(name: str) -> None:
    first, *_ = OPERATIONS[name]
    for nothing in ({}, {first: False}):
        refused(name, f"Ask for at least one of: {', '.join(OPERATIONS[name])}", operations=nothing)
    refused(name, "unknown field `detectCats`", operations={"detectCats": True})
    for odd in (1, "true", None):
        refused(name, rf"Expected `bool.* at `\$\.operations\.{first}`", operations={first: odd})
    refused(name, r"at `\$\.operations`", operations=[first])


@pytest.mark.parametrize(
    ("name", "operation"), [(name, operation) for name in ANALYSES for operation in OPERATIONS[name]]
)
def test_each_operation_can_be_asked_for_alone(name: str, operation: str) -> None:
    plan = planned(name, operations={operation: True})
    assert set(plan) - {"detectLanguage"} == {operation} - {"detectLanguage"}
    assert operation in plan


@pytest.mark.parametrize("operation", OPERATIONS["image-processing"])
def test_parameters_however_few_ask_for_an_operation_and_are_kept(operation: str) -> None:
    for how in ({}, {"minConfidence": 90.0} if operation != "detectFaces" else {"attributes": "ALL"}):
        kept = asked("image-processing", operations={operation: how})["operations"]
        assert kept == {**dict.fromkeys(OPERATIONS["image-processing"], False), operation: how}
        assert planned("image-processing", operations={operation: how}) == (operation,)


def test_parameters_of_an_operation_that_has_none_are_refused() -> None:
    refused(
        "text-analysis",
        r"Expected `bool`, got `object` - at `\$\.operations\.detectLanguage`",
        operations={"detectLanguage": {}},
    )


@pytest.mark.parametrize("operation", OPERATIONS["video-processing"])
def test_an_operation_on_a_video_is_asked_for_by_its_parameters_too(operation: str) -> None:
    assert planned("video-processing", operations={operation: {}}) == (operation,)
    refused("video-processing", rf"at `\$\.operations\.{operation}`", operations={operation: {"x": 1}})


def test_the_operation_that_the_readme_adds_is_one_value() -> None:
    """Its request, its place in the plan and its result follow from it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [example] = re.findall(r"```python\n(_look\(.*?)```", readme, re.DOTALL)
    added: Operation = eval(example, vars(image))  # noqa: S307 - the README's own line
    operations = (*image.OPERATIONS, added)
    kind = request_type("MoreRequest", operations, ("s3Key", ObjectKey))
    pipeline = attrs.evolve(image.IMAGE, request=kind, operations=operations)
    body = {**LEAST["image-processing"], "operations": {"recognizeCelebrities": True, "detectText": {}}}
    request = msgspec.to_builtins(msgspec.convert(body, type=kind))
    assert pipeline.planned(request) == ("detectText", "recognizeCelebrities")
    assert (added.result, added.parameters) == ("celebrities", None)


@pytest.mark.parametrize("name", ANALYSES)
def test_operations_are_planned_in_the_pipelines_order_whatever_the_requests(name: str) -> None:
    backwards = dict.fromkeys(reversed(OPERATIONS[name]), True)
    assert planned(name, operations=backwards) == OPERATIONS[name]


@pytest.mark.parametrize("operation", ["detectSentiment", "detectEntities", "detectKeyPhrases"])
def test_the_language_comes_first_where_it_is_not_known(operation: str) -> None:
    wanted = {operation: True}
    assert planned("text-analysis", operations=wanted) == ("detectLanguage", operation)
    assert planned("text-analysis", operations=wanted, languageCode="de") == (operation,)


def test_a_known_language_is_still_detected_where_that_is_asked_for() -> None:
    wanted = {"detectLanguage": True, "detectEntities": True}
    assert planned("text-analysis", operations=wanted, languageCode="de") == (
        "detectLanguage",
        "detectEntities",
    )


@pytest.mark.parametrize("kind", ["image", "video"])
def test_an_embedding_of_a_file_needs_its_key_and_no_content(kind: str) -> None:
    refused("embedding-generation", "missing required field `s3Key`", contentType=kind, content=...)
    assert planned("embedding-generation", contentType=kind, content=..., s3Key="a") == ("generateEmbedding",)


def test_an_embedding_keeps_its_metadata_as_it_is() -> None:
    metadata = {"tags": ["a", {"b": None}], "n": 1.5}
    assert asked("embedding-generation", metadata=metadata)["metadata"] == metadata
