"""Request bodies: what is wrong with one is said, with the field to blame."""

from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from mediaq.pipelines.catalog import PIPELINES
from mediaq.service.bodies import MOST, decode_body, read_body
from mediaq.service.problems import Problem

TEXT = PIPELINES["text-analysis"].request
LEAST = {"mediaItemId": "m", "text": "a text", "operations": {"detectLanguage": True}}


def refusal(body: bytes, kind: type = TEXT) -> Problem:
    with pytest.raises(Problem) as refused:
        decode_body(body, kind)
    assert refused.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    return refused.value


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"text": ...}, "text", "missing required field `text`"),
        ({"txt": "a"}, "txt", "unknown field `txt`"),
        ({"text": 5}, "text", "Expected `str | null`, got `int`"),
        ({"text": ""}, "text", "length >= 1"),
        ({"mediaItemId": "\0"}, "mediaItemId", "matching regex"),
        ({"costCenter": 5}, "costCenter", "Expected `str | null`, got `int`"),
        ({"operations": {}}, "operations", "Ask for at least one of: detectLanguage"),
        ({"operations": {"detectLanguage": 1}}, "operations.detectLanguage", "Expected `bool`, got `int`"),
        ({"operations": {"detectCats": True}}, "operations.detectCats", "unknown field `detectCats`"),
        ({"operations": 5}, "operations", "Expected `object`, got `int`"),
    ],
)
def test_the_field_to_blame_is_named(changes: dict[str, Any], field: str, reason: str) -> None:
    body = {key: value for key, value in {**LEAST, **changes}.items() if value is not ...}
    problem = refusal(msgspec.json.encode(body))
    assert problem.further == {"field": field}
    assert problem.detail.startswith(f"{field}: ")
    assert reason in problem.detail


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"contentType": "audio"}, "contentType"),
        ({"contentType": "text"}, "content"),
        ({"contentType": "image"}, "s3Key"),
        ({"contentType": "text", "content": "a", "metadata": 5}, "metadata"),
    ],
)
def test_a_field_that_is_needed_because_of_another_is_named(changes: dict[str, Any], field: str) -> None:
    body = msgspec.json.encode({"mediaItemId": "m", **changes})
    problem = refusal(body, PIPELINES["embedding-generation"].request)
    assert problem.further == {"field": field}
    assert problem.detail.startswith(f"{field}: ")


def test_a_place_in_a_list_is_named() -> None:
    kind = msgspec.defstruct("Batch", [("jobs", list[TEXT])])  # type: ignore[valid-type]
    problem = refusal(msgspec.json.encode({"jobs": [{**LEAST, "text": 5}]}), kind)
    assert problem.further == {"field": "jobs[0].text"}


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_nobodys_fault_in_particular(body: bytes) -> None:
    problem = refusal(body)
    assert problem.further == {}
    assert problem.detail.startswith("Expected `object`")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'text': 1}",
        b'{"text": "a",}',
        b'{"text": NaN}',
        b'{"text": "\xff"}',
        b'{"text": "\xed\xa0\x80"}',
        rb'{"text": "\ud800"}',
        rb'{"text": "\ud800\u0041"}',
        b"\xff\xfe{\x00}\x00",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    problem = refusal(body)
    assert problem.detail.startswith("the body is not JSON: ")
    assert problem.further == {}


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    metadata = b'{"mediaItemId": "m", "contentType": "text", "content": "a", "metadata": {"a": '
    kind = PIPELINES["embedding-generation"].request
    assert refusal(metadata + b"[" * 100_000, kind).detail == "the body is nested too deeply"


def test_a_value_cannot_pretend_to_be_a_place() -> None:
    body = msgspec.json.encode({"mediaItemId": "m", "contentType": "a - at `$.text`"})
    assert refusal(body, PIPELINES["embedding-generation"].request).further == {"field": "contentType"}


def request_of(*pieces: bytes) -> tuple[Request, list[bytes]]:
    """A request whose body arrives in pieces, and those of them that nobody has asked for yet."""
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http"}, receive), left


async def test_a_body_that_arrives_in_pieces_is_read_whole() -> None:
    request, _ = request_of(b"{", b"}", b"")
    assert await read_body(request) == b"{}"


async def test_a_body_of_the_most_that_is_accepted_is_read() -> None:
    request, _ = request_of(bytes(MOST))
    assert len(await read_body(request)) == MOST


async def test_of_a_body_that_is_too_large_no_more_is_read_than_is_accepted() -> None:
    request, left = request_of(bytes(MOST), b"1", b"never asked for")
    with pytest.raises(Problem, match="over 1048576 bytes") as refused:
        await read_body(request)
    assert refused.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert left == [b"never asked for"]
