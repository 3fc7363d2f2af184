"""What a file is, by its content and never by its name: a picture, a film or a text."""

import re
from enum import StrEnum
from pathlib import Path

from attrs import frozen

from mediaq.embedded.samples import draw_picture, film_clip, write_paragraph
from mediaq.errors import UnreadableMedia
from mediaq.pipelines.frames import probe
from mediaq.pipelines.image_kinds import HEAD, KINDS, kind_of

# A request to the service has at most 1 MiB.
TEXT_BYTES = 1024 * 1024
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Kind(StrEnum):
    """What the demo can have analysed."""

    IMAGE = "image"
    VIDEO = "video"
    TEXT = "text"


@frozen
class Medium:
    """A file and what it is."""

    path: Path
    kind: Kind


class UnknownMediaError(Exception):
    """A file is nothing that can be analysed; the message names it and says why."""


def recognise(path: Path) -> Medium:
    """Look into a file and tell what it is.

    Raises:
        UnknownMediaError: It is neither a picture, nor a film, nor a text.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise UnknownMediaError(f"{path} is empty")
    # First, because a text may begin with BM, as a BMP does; images hold bytes that no text has.
    if size <= TEXT_BYTES and _is_text(path.read_bytes()):
        return Medium(path, Kind.TEXT)
    with path.open("rb") as file:
        if kind_of(file.read(HEAD)):
            return Medium(path, Kind.IMAGE)
    _check_film(path)
    return Medium(path, Kind.VIDEO)


def make_samples(folder: Path) -> list[Medium]:
    """Write a picture, a film and a text into a folder, which is there."""
    samples = {
        Medium(folder / "picture.jpg", Kind.IMAGE): draw_picture(),
        Medium(folder / "clip.mp4", Kind.VIDEO): film_clip(),
        Medium(folder / "paragraph.txt", Kind.TEXT): write_paragraph().encode(),
    }
    for medium, content in samples.items():
        medium.path.write_bytes(content)
    return list(samples)


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return CONTROLS.search(text) is None


def _check_film(path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = probe(file)
    except UnreadableMedia as error:
        raise UnknownMediaError(
            f"{path} is no image ({KINDS}), no UTF-8 text of up to 1 MiB, and no video: {error}"
        ) from error
    if not found.has_video:
        raise UnknownMediaError(f"{path} holds sound but no moving pictures; give a video")
