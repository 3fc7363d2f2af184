"""The headers of JPEGs and PNGs, as far as they decide whether Rekognition takes an image as it is stored."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"

# Marker codes of ITU-T T.81, table B.1: frames that are baseline, extended or progressive; EXIF's segment;
# what has no length.
FRAMES = frozenset({0xC0, 0xC1, 0xC2})
EXIF_SEGMENT = 0xE1
BARE = frozenset({0x01, *range(0xD0, 0xD8)})
FILL = 0xFF

# Colour types of PNG (ISO/IEC 15948, 11.2.1): grey, RGB and palette; the others have an alpha channel.
OPAQUE_TYPES = frozenset({0, 2, 3})

EXIF = b"Exif\0\0"
ORIENTATION = 0x0112


@frozen
class Header:
    """What the first bytes of a JPEG or a PNG say.

    Args:
        kind: JPEG or PNG.
        width: Pixels as stored.
        height: Likewise.
        orientation: How the pixels are turned and mirrored for display, by EXIF: from 1 (not at all) to 8.
        plain: Grey, palette or RGB of 8 bits a colour at most, without transparency. What AWS makes of inks
            (CMYK), more bits and transparency it does not say.
    """

    kind: str
    width: int
    height: int
    orientation: int
    plain: bool


def read_header(data: bytes) -> Header | None:
    """Reads the header in a file's first bytes; None: neither JPEG nor PNG, an odd one, or not all there."""
    if data.startswith(JPEG):
        return _jpeg(data)
    return _png(data) if data.startswith(PNG) else None


def _jpeg(data: bytes) -> Header | None:
    exif, at = b"", 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == FILL or marker in BARE:
            at += 1 if marker == FILL else 2
            continue
        length = _number(data, at + 2, 2)
        body = data[at + 4 : at + 2 + length]
        if marker in FRAMES:
            return _jpeg_header(body, exif)
        if marker == EXIF_SEGMENT and body.startswith(EXIF):
            exif = exif or body.removeprefix(EXIF)
        at += 2 + length
    return None


def _jpeg_header(frame: bytes, exif: bytes) -> Header | None:
    if len(frame) < 6:
        return None
    bits, height, width, colours = frame[0], _number(frame, 1, 2), _number(frame, 3, 2), frame[5]
    return Header("JPEG", width, height, orientation(exif), plain=bits == 8 and colours in (1, 3))


def _png(data: bytes) -> Header | None:
    chunks, at = dict[bytes, bytes](), len(PNG)
    while at + 8 <= len(data):
        length, name = _number(data, at, 4), data[at + 4 : at + 8]
        if name == b"IDAT":
            return _png_header(chunks)
        chunks[name] = data[at + 8 : at + 8 + length]
        at += 12 + length
    return None


def _png_header(chunks: dict[bytes, bytes]) -> Header | None:
    header = chunks.get(b"IHDR", b"")
    if len(header) < 13:
        return None
    width, height, bits, colours = _number(header, 0, 4), _number(header, 4, 4), header[8], header[9]
    plain = bits <= 8 and colours in OPAQUE_TYPES and b"tRNS" not in chunks
    return Header("PNG", width, height, orientation(chunks.get(b"eXIf", b"")), plain)


def orientation(exif: bytes) -> int:
    """Reads the orientation in EXIF data; 1 where it has none or makes no sense, as browsers do.

    Source: TIFF 6.0, section 2: a list of entries of 12 bytes, of which the first two are the tag and the
    last four the value.
    """
    order: Literal["big", "little"] = "little" if exif.startswith(b"II") else "big"
    entries = _number(exif, 4, 4, order)
    for number in range(_number(exif, entries, 2, order)):
        entry = entries + 2 + 12 * number
        if _number(exif, entry, 2, order) == ORIENTATION:
            value = _number(exif, entry + 8, 2, order)
            return value if 1 <= value <= 8 else 1
    return 1


def _number(data: bytes, at: int, size: int, order: Literal["big", "little"] = "big") -> int:
    """Reads a number; beyond the end there are zeros."""
    return int.from_bytes(data[at : at + size].ljust(size, b"\0"), order)
