"""How the stand-in opens and measures images."""

import io

import pytest
from PIL import Image, ImageDraw

from mediaq.embedded.standin import images

ORIENTATION = 0x0112


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def measured(data: bytes) -> images.Picture:
    return images.measure(images.open_image(data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_is_measured_in_rgb(mode: str) -> None:
    picture = measured(saved(Image.new(mode, (300, 200)), "PNG"))
    assert (picture.small.mode, picture.small.size) == ("RGB", (96, 64))
    assert images.colours(picture)[0].name == "Black"


def test_cmyk_jpegs_are_measured_too() -> None:
    picture = measured(saved(Image.new("CMYK", (100, 100), (0, 255, 255, 0)), "JPEG"))
    assert images.colours(picture)[0].name == "Red"


@pytest.mark.parametrize(("kind", "size"), [("PNG", (200, 100)), ("JPEG", (100, 200))])
def test_jpegs_are_turned_upright_and_pngs_are_not(kind: str, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = measured(saved(Image.new("RGB", (200, 100)), kind, exif=exif))
    assert (picture.width, picture.height) == size
    assert picture.small.size == ((96, 48) if size[0] > size[1] else (48, 96))


def test_colours_have_shares_and_rectangles() -> None:
    image = Image.new("RGB", (80, 80), "white")
    image.paste((0, 0, 255), (40, 0, 80, 40))
    white, blue = images.colours(measured(saved(image, "PNG")))
    assert (white.name, blue.name) == ("White", "Blue")
    assert (white.share, blue.share) == (0.75, 0.25)
    assert blue.box == images.Box(0.5, 0, 0.5, 0.5)


def test_skin_coloured_areas_are_told_apart() -> None:
    image = Image.new("RGB", (96, 96), "blue")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 23, 47), fill="peru")
    draw.rectangle((48, 48, 95, 95), fill="peru")
    draw.rectangle((90, 0, 92, 2), fill="peru")
    boxes = [blob.box for blob in images.skin_blobs(measured(saved(image, "PNG")))]
    assert boxes == [images.Box(0.5, 0.5, 0.5, 0.5), images.Box(0, 0, 0.25, 0.5)]


def test_light_is_measured() -> None:
    dark, bright = (
        images.light(measured(saved(Image.new("RGB", (90, 90), c), "PNG"))) for c in ("black", "white")
    )
    assert (dark.brightness, bright.brightness) == (0, 100)
    stripes = Image.new("RGB", (90, 90))
    for x in range(0, 90, 10):
        stripes.paste((255, 255, 255), (x, 0, x + 5, 90))
    striped = images.light(measured(saved(stripes, "PNG")))
    assert striped.contrast > 90 > dark.contrast == 0
    assert striped.sharpness > dark.sharpness
