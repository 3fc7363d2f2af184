"""Opens JPEG and PNG images and measures them: size, light, colours, skin-coloured areas, declared text."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from attrs import frozen
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# EXIF tags, and the orientations in which width and height change places.
IMAGE_DESCRIPTION = 0x010E
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
TEXT_KEYWORDS = ("title", "description", "comment", "text")
# Whatever the size of the original, this many pixels a side are measured.
MEASURED_SIDE = 96

# Several shades a name, because the nearest shade in RGB decides.
SHADES = {
    "Black": ((0, 0, 0), (25, 25, 30)),
    "White": ((255, 255, 255), (240, 240, 235)),
    "Grey": ((128, 128, 128), (80, 80, 80), (190, 190, 190)),
    "Red": ((255, 0, 0), (200, 30, 40), (139, 0, 0)),
    "Orange": ((255, 165, 0), (255, 110, 20)),
    "Yellow": ((255, 255, 0), (235, 205, 60)),
    "Green": ((0, 255, 0), (0, 128, 0), (90, 160, 70), (30, 70, 30)),
    "Cyan": ((0, 255, 255), (0, 150, 160)),
    "Blue": ((0, 0, 255), (0, 0, 128), (65, 105, 225), (120, 170, 230)),
    "Purple": ((128, 0, 128), (110, 60, 190)),
    "Pink": ((255, 105, 180), (255, 190, 205), (255, 0, 255)),
    "Brown": ((139, 69, 19), (100, 60, 35), (190, 140, 100)),
}

# Blobs smaller than this share of the image are noise.
LEAST_BLOB_SHARE = 0.01


class BadImage(Exception):
    """The bytes are no whole JPEG or PNG image."""


@frozen
class Box:
    """A rectangle, in shares of the image's width and height."""

    left: float
    top: float
    width: float
    height: float


@frozen
class Blob:
    """A connected area: its rectangle, and what share of the rectangle it fills."""

    box: Box
    fill: float


@frozen
class Colour:
    """A named colour, the share of the image that has it, and the rectangle around all of that."""

    name: str
    share: float
    box: Box


@frozen
class Picture:
    """An image as it is measured.

    Args:
        width: In pixels, as Rekognition sees it.
        height: In pixels, likewise.
        small: The image as Rekognition sees it, in RGB, at most 96 pixels a side.
        lines: The text that the file declares in its metadata.
    """

    width: int
    height: int
    small: Image.Image
    lines: tuple[str, ...] = ()


@frozen
class Light:
    """Brightness, contrast and sharpness, each from 0 to 100."""

    brightness: float
    contrast: float
    sharpness: float


def open_image(data: bytes) -> JpegImageFile | PngImageFile:
    """Read an image's header; the pixels are read later.

    Raises:
        BadImage: The bytes are neither JPEG nor PNG.
    """
    # The readers are called directly because Image.open would accept other formats too.
    readers: dict[bytes, type[JpegImageFile | PngImageFile]] = {
        JPEG_MAGIC: JpegImageFile,
        PNG_MAGIC: PngImageFile,
    }
    for magic, reader in readers.items():
        if data.startswith(magic):
            try:
                return reader(io.BytesIO(data))
            except (OSError, SyntaxError, ValueError, struct.error) as error:
                raise BadImage(str(error)) from error
    raise BadImage("neither JPEG nor PNG")


def measure(image: JpegImageFile | PngImageFile) -> Picture:
    """Read the pixels; a JPEG is turned as its EXIF says, a PNG is not.

    Source: Amazon Rekognition API reference, DetectLabels and DetectFaces, OrientationCorrection.

    Raises:
        BadImage: They are damaged or cut short.
    """
    width, height = image.size
    try:
        image.draft("RGB", (MEASURED_SIDE, MEASURED_SIDE))
        image.load()
        small = small_rgb(image)
        lines = declared_text(image)
        if isinstance(image, JpegImageFile):
            small = ImageOps.exif_transpose(small)
            if image.getexif().get(ORIENTATION, 1) in SIDEWAYS:
                width, height = height, width
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise BadImage(str(error)) from error
    return Picture(width, height, small, lines)


def small_rgb(image: Image.Image) -> Image.Image:
    """Return a copy in RGB of at most 96 pixels a side; it keeps the EXIF data."""
    if image.mode.startswith("I"):
        # 16 bits of grey do not convert by themselves.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode == "P":
        # A palette with transparency converts to RGB only by way of RGBA.
        image = image.convert("RGBA")
    small = image.convert("RGB")
    small.thumbnail((MEASURED_SIDE, MEASURED_SIDE))
    return small


def declared_text(image: JpegImageFile | PngImageFile) -> tuple[str, ...]:
    """Return the lines of the EXIF ImageDescription, or else of the PNG text chunks made for people."""
    text = str(image.getexif().get(IMAGE_DESCRIPTION, "")).strip("\0 ")
    if not text and isinstance(image, PngImageFile):
        chunks = {key.lower(): value for key, value in image.text.items()}
        text = "\n".join(chunks[key] for key in TEXT_KEYWORDS if key in chunks)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def light(picture: Picture) -> Light:
    """Measure how bright, contrasty and sharp the picture is."""
    grey = picture.small.convert("L")
    statistics = ImageStat.Stat(grey)
    edges = ImageStat.Stat(grey.filter(ImageFilter.FIND_EDGES)).mean[0]
    return Light(
        brightness=statistics.mean[0] / 255 * 100,
        contrast=min(100.0, statistics.stddev[0] / 127.5 * 100),
        sharpness=min(100.0, edges / 64 * 100),
    )


def colours(picture: Picture) -> list[Colour]:
    """Name the colours of the picture, the largest share first."""
    shades = [(name, shade) for name, group in SHADES.items() for shade in group]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, shade in shades for channel in shade])
    indexed = picture.small.quantize(palette=palette, dither=Image.Dither.NONE)
    found = []
    for name in SHADES:
        mask = indexed.point(
            [255 if i < len(shades) and shades[i][0] == name else 0 for i in range(256)], "L"
        )
        share = ImageStat.Stat(mask).mean[0] / 255
        if corners := mask.getbbox():
            found.append(Colour(name, share, _box(corners, mask.size)))
    return sorted(found, key=lambda colour: -colour.share)


def skin_blobs(picture: Picture) -> list[Blob]:
    """Find connected skin-coloured areas, largest first."""
    mask = skin_mask(picture)
    width, height = mask.size
    cells = {(i % width, i // width) for i, value in enumerate(mask.tobytes()) if value}
    blobs = sorted(_connected(cells), key=len, reverse=True)
    return [_blob(blob, mask.size) for blob in blobs if len(blob) >= LEAST_BLOB_SHARE * width * height]


def skin_mask(picture: Picture) -> Image.Image:
    """Return a mask of the skin-coloured pixels: Cb from 77 to 127 and Cr from 133 to 173."""
    _, cb, cr = picture.small.convert("YCbCr").split()
    return ImageChops.multiply(
        cb.point(lambda value: 255 if 77 <= value <= 127 else 0),
        cr.point(lambda value: 255 if 133 <= value <= 173 else 0),
    )


def share(mask: Image.Image) -> float:
    """Return what share of a mask is set."""
    return ImageStat.Stat(mask).mean[0] / 255


def _connected(cells: set[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    while cells:
        edge = [cells.pop()]
        blob = []
        while edge:
            x, y = edge.pop()
            blob.append((x, y))
            near = {(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)} & cells
            cells -= near
            edge.extend(near)
        yield blob


def _blob(cells: list[tuple[int, int]], size: tuple[int, int]) -> Blob:
    columns, rows = [x for x, _ in cells], [y for _, y in cells]
    corners = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    area = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return Blob(_box(corners, size), len(cells) / area)


def _box(corners: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    left, top, right, bottom = corners
    width, height = size
    return Box(left / width, top / height, (right - left) / width, (bottom - top) / height)
