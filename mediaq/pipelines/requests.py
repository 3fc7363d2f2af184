"""What callers may ask for, as types: they validate requests and describe them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mediaq.pipelines.operation import Operation
from mediaq.pipelines.webhook import Webhook

NO_NUL = r"\A[^\x00]*\Z"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
# AWS: an object key has 1 to 1,024 bytes of UTF-8.
ObjectKey = Annotated[str, Meta(min_length=1, max_length=1024, pattern=NO_NUL)]
Seconds = Annotated[float, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1, pattern=NO_NUL)]
# What no media item's name may end in: it has a route of its own.
RESERVED = "/similar"
Field = tuple[str, Any, Any] | tuple[str, Any]

COMMON: tuple[Field, ...] = (
    ("mediaItemId", Name),
    ("costCenter", Name | None, None),
    # Older clients send it; it must be the token's.
    ("userId", Name | None, None),
    ("webhook", Webhook | None, None),
)


def request_type(
    name: str,
    operations: tuple[Operation, ...],
    *fields: Field,
    check: Callable[[Any], None] | None = None,
) -> type[msgspec.Struct]:
    """Builds the type of a pipeline's requests: the common fields, the operations, and its own fields.

    Args:
        name: The type's name, `ImageRequest` say.
        operations: The operations that may be asked for, each by `true` or by its parameters; one at least.
        fields: Further fields: name, type and, where it may be left out, default.
        check: Checks the whole; raises ValueError, which names the wrong one as "field `name`".
    """
    asked: type = msgspec.defstruct(
        f"{name}Operations",
        [(operation.name, _ways_to_ask(operation), False) for operation in operations],
        namespace={"__post_init__": _one_at_least},
        frozen=True,
        forbid_unknown_fields=True,
    )
    return checked_type(name, check, ("operations", asked), *fields)


def checked_type(name: str, check: Callable[[Any], None] | None, *fields: Field) -> type[msgspec.Struct]:
    """Builds a request type of the common fields and others, with a check of the whole."""

    def check_all(request: Any) -> None:
        _check_item(request)
        if check is not None:
            check(request)

    return msgspec.defstruct(
        name,
        [*COMMON, *fields],
        namespace={"__post_init__": check_all},
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


def _one_at_least(asked: Any) -> None:
    if all(how is False for how in msgspec.structs.asdict(asked).values()):
        names = ", ".join(asked.__struct_fields__)
        raise ValueError(f"Ask for at least one of: {names}")
