"""What a JSON Schema says, in a few words for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mediaq.service.html import Html, join, tag
from mediaq.service.schemas import REF

# Choices of which a reader still sees each at a glance.
FEW = 15
LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "pattern {}",
    "default": "default {}",
}


def name_kind(schema: Mapping[str, Any]) -> Html:
    """Names what a schema describes; a component is a link to where it is described."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return tag("a", name, href=f"#{name}")
    if "enum" in schema:
        return _choices(schema["enum"])
    if "const" in schema:
        return _choices([schema["const"]])
    ways = schema.get("anyOf") or schema.get("oneOf")
    if ways and "properties" not in schema:
        return join(_between(" or ", [name_kind(way) for way in ways]))
    return _of_type(schema)


def _of_type(schema: Mapping[str, Any]) -> Html:
    match schema:
        case {"type": "array", "items": items}:
            return join(["list of ", name_kind(items)])
        case {"type": "object", "additionalProperties": {} as values} if values:
            return join(["object of ", name_kind(values)])
        case {"type": kind}:
            return join([str(kind)])
        case _:
            return join(["anything"])


def _choices(values: list[Any]) -> Html:
    shown = [tag("code", _spell(value)) for value in values]
    if len(shown) <= FEW:
        return join(_between(" · ", shown))
    return tag("details", tag("summary", f"one of {len(shown)}"), *_between(" · ", shown))


def _between(separator: str, parts: list[Html]) -> list[str]:
    return [piece for part in parts for piece in (separator, part)][1:]


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def constraints(schema: Mapping[str, Any]) -> str:
    """Tells the bounds of what a schema describes, of all the types that it may have."""
    own = [LIMITS[key].format(_spell(schema[key])) for key in LIMITS if schema.get(key) is not None]
    inner = [constraints(part) for part in (*schema.get("anyOf", ()), schema.get("items", {})) if part]
    return ", ".join(filter(None, [*own, *inner]))
