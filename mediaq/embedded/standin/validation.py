"""Checks requests against the constraints of the service models, and words violations as AWS does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mediaq.embedded.standin.errors import AwsError, serialization_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


JSON_NAMES: dict[type, str] = {
    str: "String",
    bool: "Boolean",
    int: "Integer",
    float: "Number",
    list: "JSONArray",
    dict: "JSONObject",
}


@frozen
class Member:
    """What one member of a request must be like.

    Args:
        path: Where it stands, such as `Image.S3Object.Name`.
        kind: The Python types that its JSON value may have.
        required: Whether it must be there, where its parent is.
        low: The least length of a string or list, or the least value of a number.
        high: The greatest length or value.
        pattern: A regular expression that the whole string must match.
        choices: The only values allowed; of a list, for each of its items.
        secret: Whether AWS keeps the value out of its messages.
    """

    path: str
    kind: type | tuple[type, ...] = str
    required: bool = False
    low: float | None = None
    high: float | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False


def json_name(kind: type) -> str:
    """Return what AWS's messages call the JSON type that is read as a Python type."""
    return JSON_NAMES.get(kind, "Null")


def check(body: dict[str, Any], members: Iterable[Member], *, code: str = "ValidationException") -> None:
    """Refuse a request that breaks a constraint.

    Args:
        body: The request.
        members: The constraints.
        code: How the service calls the error.

    Raises:
        AwsError: A value has the wrong type, or constraints are broken; all of them are named.
    """
    found = [violation for member in members for violation in _violations(body, member)]
    if found:
        raise _broken_constraints(found, code)


def check_length(size: int, member: Member) -> None:
    """Refuse bytes whose length breaks a constraint; in JSON they are longer, by base64.

    Raises:
        AwsError: They are too short or too long.
    """
    shown = f"Value 'java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]'"
    found = [_sentence(member, shown, broken) for broken in _out_of_bounds(size, "length", member)]
    if found:
        raise _broken_constraints(found, "ValidationException")


def _broken_constraints(found: list[str], code: str) -> AwsError:
    plural = "" if len(found) == 1 else "s"
    return AwsError(code, f"{len(found)} validation error{plural} detected: {'; '.join(found)}")


def _violations(body: dict[str, Any], member: Member) -> Iterator[str]:
    *parents, name = member.path.split(".")
    holder: Any = body
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        return
    value = holder.get(name)
    if value is None:
        if member.required:
            yield _sentence(member, "Value null", "Member must not be null")
        return
    _check_type(value, member)
    shown = "Value" if member.secret else f"Value '{value}'"
    for constraint in _broken(value, member):
        yield _sentence(member, shown, constraint)


def _check_type(value: object, member: Member) -> None:
    kinds = member.kind if isinstance(member.kind, tuple) else (member.kind,)
    # In Python true is an int; in JSON it is no number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise serialization_error(
            f"{_camel(member.path)}: expected type: {json_name(kinds[0])}, found: {json_name(type(value))}"
        )


def _broken(value: Any, member: Member) -> Iterator[str]:
    size, measure = (len(value), "length") if isinstance(value, str | list) else (value, "value")
    yield from _out_of_bounds(size, measure, member)
    if member.pattern and not re.fullmatch(member.pattern, value):
        yield f"Member must satisfy regular expression pattern: {member.pattern}"
    given = value if isinstance(value, list) else [value]
    if member.choices and any(item not in member.choices for item in given):
        yield f"Member must satisfy enum value set: [{', '.join(member.choices)}]"


def _out_of_bounds(size: float, measure: str, member: Member) -> Iterator[str]:
    if member.low is not None and size < member.low:
        yield f"Member must have {measure} greater than or equal to {member.low}"
    if member.high is not None and size > member.high:
        yield f"Member must have {measure} less than or equal to {member.high}"


def _sentence(member: Member, shown: str, constraint: str) -> str:
    return f"{shown} at '{_camel(member.path)}' failed to satisfy constraint: {constraint}"


def _camel(path: str) -> str:
    return ".".join(name[0].lower() + name[1:] for name in path.split("."))
