"""The kinds of images that are analysed, told apart by their first bytes and never by their names."""

from __future__ import annotations

KINDS = "JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC, AVIF"

HEAD = 64
"""Bytes that tell a kind."""

MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}


def kind_of(head: bytes) -> str | None:
    """Tells the kind of an image by its first bytes; None for anything else.

    Sources: the formats' specifications; for AVIF and HEIC the brands of ISO/IEC 23008-12 and of AVIF 1.1.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _kind_of_brands(head[8 : int.from_bytes(head[:4], "big")])
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def _kind_of_brands(names: bytes) -> str | None:
    brands = {names[at : at + 4] for at in range(0, len(names), 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    heic = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
    return "HEIC" if brands & heic else None
