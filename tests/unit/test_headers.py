"""What the first bytes of an image tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from quarters import HEIC, ORIENTATION, quarters, saved, turned

from mediaq.pipelines.headers import Header, orientation, read_header
from mediaq.pipelines.pictures import HEAD


def plain(data: bytes) -> bool:
    header = read_header(data)
    assert header is not None
    return header.plain


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_size_and_orientation(kind: str, turn: int) -> None:
    size = (120, 160) if turn >= 5 else (160, 120)
    assert read_header(turned(kind, turn)) == Header(kind, *size, turn, plain=True)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", True), ("L", True), ("P", True), ("RGB", True), ("RGBA", False), ("LA", False), ("I;16", False)],
)
def test_pngs_are_plain_without_transparency_and_without_more_than_eight_bits(
    mode: str, expected: bool
) -> None:
    assert plain(saved(Image.new(mode, (100, 100)), "PNG")) is expected


def test_a_palette_with_a_transparent_colour_is_not_plain() -> None:
    assert not plain(saved(quarters().convert("P"), "PNG", transparency=0))


@pytest.mark.parametrize(("mode", "expected"), [("L", True), ("RGB", True), ("CMYK", False)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_are_plain_without_inks(mode: str, expected: bool, progressive: bool) -> None:
    assert plain(saved(quarters().convert(mode), "JPEG", progressive=progressive)) is expected


def test_the_head_of_a_photo_is_enough() -> None:
    data = saved(Image.effect_noise((2000, 2000), 100), "JPEG", quality=95, icc_profile=bytes(100_000))
    assert len(data) > 2 * HEAD
    assert read_header(data[:HEAD]) == Header("JPEG", 2000, 2000, 1, plain=True)
    assert read_header(data[:100_000]) is None


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_there_is_not_counts_as_none(value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    header = read_header(saved(quarters(), "JPEG", exif=exif))
    assert header is not None
    assert header.orientation == 1


@given(st.binary(max_size=64).map(lambda data: b"MM\0*" + data) | st.binary(max_size=64))
def test_broken_exif_is_an_orientation_all_the_same(data: bytes) -> None:
    assert 1 <= orientation(data) <= 8


@given(st.integers(0, 5000), st.binary(max_size=4), st.sampled_from(["JPEG", "PNG"]))
def test_broken_headers_are_none_or_some_header(at: int, junk: bytes, kind: str) -> None:
    data = turned(kind, 6)
    at %= len(data)
    found = read_header(data[:at] + junk + data[at + len(junk) :])
    assert found is None or found.kind == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_header_that_is_not_all_there_is_none(kind: str) -> None:
    data = turned(kind, 6)
    found = [read_header(data[:size]) for size in range(len(data))]
    assert {header for header in found if header} == {read_header(data)}
    assert found[:60] == [None] * 60


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_other_kinds_have_none(kind: str) -> None:
    assert read_header(saved(quarters(), kind)) is None


def test_neither_have_heic_and_what_is_no_image() -> None:
    assert [read_header(data) for data in (HEIC.read_bytes(), b"", b"text")] == [None] * 3
