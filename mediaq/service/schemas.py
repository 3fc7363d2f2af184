"""JSON Schemas of types, as an OpenAPI document wants them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

REF = "#/components/schemas/"
# Where a docstring says what the fields are.
FIELDS = re.compile(r"\n\s*(?:Args|Raises):\n(.*)", re.DOTALL)
# Python writes the ends of a text otherwise than ECMAScript, of which JSON Schema's patterns are.
ENDS = {r"\A": "^", r"\Z": "$"}


def describe_types(types: Sequence[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, dict[str, Any]]]:
    """Returns the schema of each type, and the components that they refer to.

    A struct's docstring describes it and its fields; what its checks demand beyond the types of the fields
    stands in its class attribute `rules`, as JSON Schema.

    Args:
        types: The types.
    """
    schemas, components = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    for struct in _structs(types):
        _tell_more(components[struct.__name__], struct)
    return tuple(_tidy(schema) for schema in schemas), {name: _tidy(components[name]) for name in components}


def _structs(types: Sequence[Any]) -> set[type[msgspec.Struct]]:
    return {
        found.cls
        for info in msgspec.inspect.multi_type_info(types)
        for found in _walk(info, set())
        if isinstance(found, msgspec.inspect.StructType)
    }


def _walk(info: Any, seen: set[int]) -> Iterator[Any]:
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for name in getattr(info, "__struct_fields__", ()):
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, msgspec.Struct):
                yield from _walk(part, seen)


def _tell_more(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    schema.update(getattr(struct, "rules", {}))
    text, fields = split_docstring(struct.__doc__ or "")
    if text:
        schema["description"] = text
    encoded = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    for name, said in fields.items():
        if name in encoded:
            schema["properties"][encoded[name]].setdefault("description", said)


def split_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    """Returns what a docstring says before its sections, and what it says of each of its Args."""
    text = inspect.cleandoc(docstring)
    sections = FIELDS.search(text)
    told = re.split(r"^\s{4}(\w+): ", sections[1], flags=re.MULTILINE)[1:] if sections else []
    fields = {name: " ".join(said.split()) for name, said in zip(told[::2], told[1::2], strict=True)}
    return " ".join(FIELDS.sub("", text).split()), fields


def _tidy(schema: Any) -> Any:
    """Makes patterns ECMAScript's, and numbers of decimals: they are written as such."""
    match schema:
        case {"type": "string", "format": "decimal", **rest}:
            return {"type": "number", **_tidy(rest)}
        case Mapping():
            return {
                name: _ends(value) if name == "pattern" else _tidy(value) for name, value in schema.items()
            }
        case list():
            return [_tidy(part) for part in schema]
        case _:
            return schema


def _ends(pattern: Any) -> Any:
    # A property may be called `pattern`, too.
    if not isinstance(pattern, str):
        return _tidy(pattern)
    for ours, theirs in ENDS.items():
        pattern = pattern.replace(ours, theirs)
    return pattern
