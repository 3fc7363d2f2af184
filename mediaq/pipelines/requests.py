"""What callers may ask for, as types: they validate requests and describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mediaq.pipelines.operation import Operation
from mediaq.pipelines.webhook import Webhook

NO_NUL = r"\A[^\x00]*\Z"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
# AWS: an object key has 1 to 1,024 bytes of UTF-8.
ObjectKey = Annotated[
    str,
    Meta(min_length=1, max_length=1024, pattern=NO_NUL, description="The upload's key in the bucket."),
]
Seconds = Annotated[float, Meta(ge=0, description="A hint: how long it is, in seconds.")]
Text = Annotated[str, Meta(min_length=1, pattern=NO_NUL)]
# What no media item's name may end in: it has a route of its own.
RESERVED = "/similar"
NOT_RESERVED = {"not": {"pattern": f"{RESERVED}$"}}
Field = tuple[str, Any, Any] | tuple[str, Any]


def _name(description: str, rules: Mapping[str, Any] | None = None) -> Any:
    return Annotated[Name, Meta(description=description, extra_json_schema=dict(rules or {}))]


COMMON: tuple[Field, ...] = (
    ("mediaItemId", _name("The media item; an unknown one is made, and is the caller's.", NOT_RESERVED)),
    ("costCenter", _name("Whom the cost is put down to.") | None, None),
    ("userId", _name("Older clients send it; it must be the token's.") | None, None),
    ("webhook", Webhook | None, None),
)


def request_type(
    name: str,
    operations: tuple[Operation, ...],
    *fields: Field,
    check: Callable[[Any], None] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> type[msgspec.Struct]:
    """Builds the type of a pipeline's requests: the common fields, the operations, and its own fields.

    Args:
        name: The type's name, `ImageRequest` say.
        operations: The operations that may be asked for, each by `true` or by its parameters; one at least.
        fields: Further fields: name, type and, where it may be left out, default.
        check: Checks the whole; raises ValueError, which names the wrong one as "field `name`".
        rules: What `check` demands, as JSON Schema.
    """
    asked: type = msgspec.defstruct(
        f"{name}Operations",
        [(operation.name, _ways_to_ask(operation), False) for operation in operations],
        namespace={
            "__doc__": "What is asked for: one operation at least, by true or by what is said of it.",
            "__post_init__": _one_at_least,
            "rules": {"anyOf": [_asks_for(operation) for operation in operations]},
        },
        frozen=True,
        forbid_unknown_fields=True,
    )
    return checked_type(name, check, rules or {}, ("operations", asked), *fields)


def checked_type(
    name: str, check: Callable[[Any], None] | None, rules: Mapping[str, Any], *fields: Field
) -> type[msgspec.Struct]:
    """Builds a request type of the common fields and others, with a check of the whole and its rules."""

    def check_all(request: Any) -> None:
        _check_item(request)
        if check is not None:
            check(request)

    return msgspec.defstruct(
        name,
        [*COMMON, *fields],
        namespace={"__post_init__": check_all, "rules": rules},
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
    )


def _check_item(request: Any) -> None:
    # Names may have slashes: GET /api/media/x/similar would be about another item, x.
    if request.mediaItemId.endswith(RESERVED):
        raise ValueError(f"Object has a bad field `mediaItemId`: it may not end in {RESERVED}")


def _ways_to_ask(operation: Operation) -> Any:
    return bool if operation.parameters is None else bool | operation.parameters


def _asks_for(operation: Operation) -> dict[str, Any]:
    ways = (
        {"const": True} if operation.parameters is None else {"anyOf": [{"const": True}, {"type": "object"}]}
    )
    return {"properties": {operation.name: ways}, "required": [operation.name]}


def _one_at_least(asked: Any) -> None:
    if all(how is False for how in msgspec.structs.asdict(asked).values()):
        names = ", ".join(asked.__struct_fields__)
        raise ValueError(f"Ask for at least one of: {names}")
