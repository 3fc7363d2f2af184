"""The program that makes a JPEG of one image, in a process of its own, because strangers made the image.

`python -m mediaq.pipelines.conversion FILE ORDER` writes the JPEG to standard output. Where the image
cannot be used it exits with 3 and says why on standard error, as what follows the image's name in a sentence.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyvips
from attrs import frozen

from mediaq.errors import UnreadableMedia
from mediaq.pipelines.image_kinds import HEAD, KINDS, kind_of
from mediaq.pipelines.order import REFUSED, Order

QUALITY = 90
"""Of the JPEG, from 1 to 100: at 90 colours keep their full resolution, which red text on blue needs.

Embedded colour profiles are ignored: to apply them takes ten times as long, and changes shades but no shape.
"""

LOADERS = {
    "JPEG": "VipsForeignLoadJpeg",
    "PNG": "VipsForeignLoadPng",
    "WebP": "VipsForeignLoadWebp",
    "GIF": "VipsForeignLoadNsgif",
    "TIFF": "VipsForeignLoadTiff",
    "AVIF": "VipsForeignLoadHeif",
}


@frozen
class Source:
    """An image whose header was read.

    Args:
        width: Pixels as stored.
        height: Likewise.
        within: Gives it upright, with at most so many pixels a side; never enlarged.
    """

    width: int
    height: int
    within: Callable[[int], Any]


def main() -> None:
    """Converts the file that the command line names."""
    path, order = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Order)
    _confine(order)
    try:
        jpeg = convert(path, order)
    except UnreadableMedia as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(REFUSED)
    sys.stdout.buffer.write(jpeg)


def convert(path: str, order: Order) -> bytes:
    """Makes a JPEG of an image's first picture: upright, in RGB, on white, scaled down as little as needed.

    Raises:
        UnreadableMedia: It is no image of a known kind, damaged, too large or too small.
    """
    try:
        source = _opened(path)
        _check(source, order)
        return _small_enough(source, order)
    except MemoryError as error:
        raise UnreadableMedia("needs more memory to open than a conversion may take") from error
    except (pyvips.Error, OSError, SyntaxError, ValueError, RuntimeError, EOFError) as error:
        raise UnreadableMedia(f"is damaged or cut short ({_reason(error, path)})") from error


def _confine(order: Order) -> None:
    """Bounds what the decoders may take, and lets the worker's event loop go first."""
    os.nice(10)
    # Linux counts all memory of the process's own here; elsewhere it does no harm.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (order.memory, order.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (order.seconds, order.seconds))


def _opened(path: str) -> Source:
    with Path(path).open("rb") as file:
        kind = kind_of(file.read(HEAD))
    match kind:
        case None:
            raise UnreadableMedia(f"is no image of a known kind ({KINDS})")
        case "BMP":
            return _bmp(path)
        case "HEIC":
            return _heic(path)
        case _:
            return _streamed(path, LOADERS[kind])


def _streamed(path: str, loader: str) -> Source:
    """Opens what libvips reads line by line, in little memory."""
    # The file's kind decides the decoder; libvips knows many others.
    pyvips.operation_block_set("VipsForeignLoad", True)
    pyvips.operation_block_set(loader, False)
    header = pyvips.Image.new_from_file(path, access="sequential", fail_on="error")

    def within(side: int) -> Any:
        return pyvips.Image.thumbnail(path, side, height=side, size="down", fail_on="error")

    return Source(header.width, header.height, within)


def _bmp(path: str) -> Source:
    """Opens a BMP, which libvips does not read."""
    from PIL.BmpImagePlugin import BmpImageFile

    image = BmpImageFile(path)

    def pixels() -> bytes:
        return (image if image.mode == "RGB" else image.convert("RGB")).tobytes()

    return _whole(*image.size, pixels)


def _heic(path: str) -> Source:
    """Opens a HEIC, whose decoder (HEVC) libvips's own packages lack; libheif turns it upright itself."""
    import pi_heif

    file = pi_heif.open_heif(path)
    return _whole(file.size[0], file.size[1], lambda: bytes(file.data))


def _whole(width: int, height: int, pixels: Callable[[], bytes]) -> Source:
    """Opens what is decoded as a whole."""

    @cache
    def image() -> Any:
        data = pixels()
        bands = len(data) // (width * height)
        raw = pyvips.Image.new_from_memory(data, width, height, bands, "uchar")
        return raw.copy(interpretation="srgb" if bands >= 3 else "b-w")

    def within(side: int) -> Any:
        return image().thumbnail_image(side, height=side, size="down")

    return Source(width, height, within)


def _check(source: Source, order: Order) -> None:
    size = f"{source.width} x {source.height}"
    if source.width * source.height > order.most_pixels:
        raise UnreadableMedia(f"has {size} pixels, more than the {order.most_pixels:,} that are opened")
    shorter, longer = sorted((source.width, source.height))
    if shorter < order.least_side:
        raise UnreadableMedia(f"has {size} pixels; each side must have at least {order.least_side}")
    if shorter * order.most_side < order.least_side * longer:
        raise UnreadableMedia(
            f"is too long and narrow: {size} pixels; with {order.most_side:,} on the longer side the shorter "
            f"would have fewer than {order.least_side}"
        )


def _small_enough(source: Source, order: Order) -> bytes:
    side = min(order.most_side, max(source.width, source.height))
    while True:
        # The transparent shows the white of a page.
        picture = source.within(side).colourspace("srgb")
        jpeg: bytes = picture.jpegsave_buffer(Q=QUALITY, background=255, keep="none")
        if len(jpeg) <= order.most_bytes:
            return jpeg
        # Bytes go with the area; a little less, so that the next one fits.
        side = int(side * (order.most_bytes / len(jpeg)) ** 0.5 * 0.98)


def _reason(error: Exception, path: str) -> str:
    said = error.detail if isinstance(error, pyvips.Error) else str(error)
    # The file's name is of no use to those who read this.
    lines = said.replace(f"{path}: ", "").splitlines()
    return lines[0].strip() if lines else type(error).__name__


if __name__ == "__main__":
    main()
