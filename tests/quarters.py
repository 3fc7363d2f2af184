"""An image of four colours: in every kind of file and turned in every way, it looks the same."""

import io
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = (160, 120)
COLOURS = {"Red": (255, 0, 0), "Blue": (0, 0, 255), "Green": (0, 255, 0), "White": (255, 255, 255)}
SHOWN = ("Red", "Blue", "Green", "White")
"""The quarters as a browser shows them: top left, top right, bottom left, bottom right."""

# How an image is stored that EXIF says to turn and mirror for display (JEITA CP-3451, Orientation).
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATION = 0x0112
HEIC = Path(__file__).parent / "files" / "quarters.heic"


def quarters(size: tuple[int, int] = SIZE) -> Image.Image:
    """The image as it is shown."""
    image = Image.new("RGB", size)
    across, down = size[0] // 2, size[1] // 2
    for place, name in enumerate(SHOWN):
        left, top = place % 2 * across, place // 2 * down
        image.paste(COLOURS[name], (left, top, left + across, top + down))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(kind: str, orientation: int, size: tuple[int, int] = SIZE) -> bytes:
    """The image as a file whose pixels are turned and whose EXIF says so."""
    stored = STORED[orientation]
    image = quarters(size) if stored is None else quarters(size).transpose(stored)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(image, kind, exif=exif)


def seen(file: bytes) -> tuple[str, ...]:
    """The colours of an image's quarters as its pixels are stored."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    width, height = image.size
    middles = [(width * x // 4, height * y // 4) for y in (1, 3) for x in (1, 3)]
    return tuple(_nearest(image.getpixel(middle)) for middle in middles)


def _nearest(pixel: Any) -> str:
    def distance(name: str) -> int:
        return sum(abs(one - other) for one, other in zip(pixel, COLOURS[name], strict=True))

    return min(COLOURS, key=distance)
