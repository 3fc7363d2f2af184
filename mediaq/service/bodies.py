"""What requests carry, bodies and queries: bounded, decoded and checked; what is wrong is named."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request

from mediaq.service.problems import Problem

MOST = 1024 * 1024

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """Reads the body, and no more of it than is accepted.

    Raises:
        Problem: 413 where it is over 1 MiB.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MOST} bytes")
    return bytes(body)


def decode_body(body: bytes, kind: type[T]) -> T:
    """Decodes a JSON body and checks it.

    Raises:
        Problem: 422, with the wrong field's path as `field` where one is to blame.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        detail, field = _blame(str(error))
        raise _invalid(detail, field) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"the body is not JSON: {error}", None) from None
    except RecursionError:
        raise _invalid("the body is nested too deeply", None) from None


def decode_query(query: QueryParams, kind: type[T]) -> T:
    """Decodes a query and checks it; numbers and the like are read from their text.

    Args:
        query: The query; of a name that is given several times the last counts.
        kind: The type.

    Raises:
        Problem: 422, with the wrong parameter's name as `field`.
    """
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        detail, field = _blame(str(error))
        raise _invalid(detail, field) from None


def _invalid(detail: str, field: str | None) -> Problem:
    further: dict[str, Any] = {} if field is None else {"field": field}
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, **further)


def _blame(message: str) -> tuple[str, str | None]:
    # msgspec writes "what is wrong - at `$.path`", and names a missing or unknown field in backquotes before.
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message, re.DOTALL)
    said, path = found.groups() if found else (message, "")
    named = re.search(r"field `([^`]+)`", said)
    field = ".".join(part for part in (path, named[1] if named else "") if part)
    return (f"{field}: {said}" if field else said), field or None
