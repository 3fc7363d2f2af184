"""How an image gets to Rekognition: by reference, by its bytes, or as a JPEG made of it."""

import pytest

from mediaq.aws.objects import ObjectInfo
from mediaq.pipelines.headers import Header
from mediaq.pipelines.pictures import BYTES_LIMIT, OBJECT_LIMIT, Picture, Route, route

JPEG = Header("JPEG", 800, 600, 1, plain=True)


def taken(header: Header | None, size: int = 1000, *, turns: bool = True, by_reference: bool = True) -> Route:
    picture = Picture(ObjectInfo("bucket", "key", size, "etag"), header)
    return route(picture, turns=turns, by_reference=by_reference)


def test_what_has_no_header_that_is_known_is_converted() -> None:
    assert taken(None) is Route.CONVERSION


@pytest.mark.parametrize(
    ("size", "by_reference", "way"),
    [
        (OBJECT_LIMIT, True, Route.REFERENCE),
        (OBJECT_LIMIT + 1, True, Route.CONVERSION),
        (BYTES_LIMIT, False, Route.BYTES),
        (BYTES_LIMIT + 1, False, Route.CONVERSION),
    ],
)
def test_bytes_are_limited(size: int, by_reference: bool, way: Route) -> None:
    assert taken(JPEG, size, by_reference=by_reference) is way


@pytest.mark.parametrize(
    ("sides", "way"),
    [
        ((80, 10_000), Route.REFERENCE),
        ((10_000, 80), Route.REFERENCE),
        ((79, 100), Route.CONVERSION),
        ((100, 79), Route.CONVERSION),
        ((10_001, 100), Route.CONVERSION),
        ((100, 10_001), Route.CONVERSION),
    ],
)
def test_sides_are_limited(sides: tuple[int, int], way: Route) -> None:
    assert taken(Header("PNG", *sides, 1, plain=True)) is way


@pytest.mark.parametrize(
    ("kind", "turns", "as_stored"),
    [
        ("JPEG", True, {1, 3, 6, 8}),
        ("JPEG", False, {1}),
        ("PNG", True, {1}),
        ("PNG", False, {1}),
    ],
)
def test_a_turned_image_is_sent_as_stored_only_where_aws_says_that_it_turns_it(
    kind: str, turns: bool, as_stored: set[int]
) -> None:
    found = {
        orientation
        for orientation in range(1, 9)
        if taken(Header(kind, 800, 600, orientation, plain=True), turns=turns) is Route.REFERENCE
    }
    assert found == as_stored


def test_what_aws_says_nothing_of_is_converted() -> None:
    assert taken(Header("PNG", 800, 600, 1, plain=False)) is Route.CONVERSION
