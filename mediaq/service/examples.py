"""Examples of answers, made from their schemas; requests bring their own (`Pipeline.example`)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from mediaq.pipelines.operation import Pipeline
from mediaq.service.schemas import REF

# What fields of these names look like, wherever an answer has one, or in the component that is named.
FIELDS: Mapping[str, Any] = {
    "Accepted.status": "waiting",
    "amount": 0.001,
    "attemptsMade": 1,
    "away": [],
    "completed": 3,
    "cost": 0.001,
    "costCenter": "marketing",
    "current": 1,
    "data": {"mediaItemId": "photo-1", "s3Key": "uploads/photo-1.jpg", "operations": {"detectLabels": True}},
    "dimensions": 256,
    "expiresAt": 1767326643456,
    "failedReason": None,
    "finishedOn": 1767323045678,
    "id": "8d7f0e2c6b5a4f3e9d1c0b2a49586776",
    "item": "rekognition.image",
    "jobType": "image-processing",
    "mediaItemId": "photo-1",
    "message": "detectLabels: completed",
    "metadata": {"album": "holidays"},
    "model": "amazon.titan-embed-text-v2:0",
    "name": "process-image",
    "nextCursor": None,
    "operation": "detectLabels",
    "possibleCost": 0,
    "priceVersion": "2026-01",
    "processedOn": 1767323044567,
    "returnvalue": {"labels": [{"Name": "Beach", "Confidence": 98.7}]},
    "self": "/api/queues/image-processing/8d7f0e2c6b5a4f3e9d1c0b2a49586776",
    "service": "rekognition",
    "similarity": 0.93,
    "stacktrace": [],
    "status": "completed",
    "subTasks": {"detectLabels": {"status": "completed"}},
    "timestamp": 1767323043456,
    "total": 1,
    "unit": "image",
    "unitPrice": 0.001,
    "units": 1,
    "userId": "user-1",
}

DETAILS: Mapping[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "a token is needed: send the header Authorization: Bearer TOKEN",
    HTTPStatus.FORBIDDEN: "media item photo-1 belongs to another user",
    HTTPStatus.NOT_FOUND: "there is no media item photo-1",
    HTTPStatus.CONFLICT: "media item photo-1 has no vector yet: send it to embedding-generation first",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is over 1048576 bytes",
    HTTPStatus.UNPROCESSABLE_ENTITY: "limit: Expected `int` >= 1",
    HTTPStatus.SERVICE_UNAVAILABLE: "Redis cannot be reached; nothing was done, try again later",
}


def example_request(pipeline: Pipeline) -> dict[str, Any]:
    """Returns a request for all that a pipeline can do; a new operation is in it by itself."""
    if "operations" not in {field.name for field in msgspec.structs.fields(pipeline.request)}:
        return dict(pipeline.example)
    asked = {operation.name: operation.example for operation in pipeline.operations}
    return {**pipeline.example, "operations": asked}


def example_problem(status: HTTPStatus) -> dict[str, Any]:
    """Returns a problem of that status."""
    detail = DETAILS.get(status, status.phrase.lower())
    more = {"field": "limit"} if status is HTTPStatus.UNPROCESSABLE_ENTITY else {}
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "error": detail,
        **more,
    }


def example(schema: Mapping[str, Any], components: Mapping[str, Any], name: str = "") -> Any:
    """Returns what a schema describes.

    Args:
        schema: The schema.
        components: What it may refer to, by name.
        name: Of the component and its field that it is of, as `Accepted.id`; empty: it is of the whole.
    """
    if "examples" in schema:
        return schema["examples"][0]
    for known in (name, name.rpartition(".")[2]):
        if known in FIELDS and _fits(FIELDS[known], schema, components):
            return FIELDS[known]
    if "$ref" in schema:
        return example(components[schema["$ref"].removeprefix(REF)], components, name)
    if ways := schema.get("anyOf") or schema.get("oneOf"):
        return example(ways[0], components, name)
    if choices := schema.get("enum") or [schema[key] for key in ("const", "default") if key in schema]:
        return choices[0]
    return _of_type(schema, components)


def _of_type(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            owner = schema.get("title", "")
            return {name: example(part, components, f"{owner}.{name}") for name, part in properties.items()}
        case "array":
            return [example(schema["items"], components)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case "string":
            return "text"
        case _:
            return None


def _fits(value: Any, schema: Mapping[str, Any], components: Mapping[str, Any]) -> bool:
    """Tells whether a value is of the kind that a schema is of, as far as examples need to know."""
    if "$ref" in schema:
        return _fits(value, components[schema["$ref"].removeprefix(REF)], components)
    if ways := schema.get("anyOf") or schema.get("oneOf"):
        return any(_fits(value, way, components) for way in ways)
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {
        "object": dict,
        "array": list,
        "integer": int,
        "number": int | float,
        "string": str,
        "null": type(None),
    }
    return isinstance(value, kinds.get(schema.get("type", ""), object))
