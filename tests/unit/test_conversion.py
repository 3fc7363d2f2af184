"""The program that converts one image: what comes out, what it refuses, and the memory it takes."""

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from quarters import HEIC, SHOWN, SIZE, quarters, saved, seen, turned

from mediaq.pipelines.image_kinds import kind_of
from mediaq.pipelines.order import REFUSED, Order

ORDER = Order(
    most_bytes=5_242_880,
    most_side=10_000,
    least_side=80,
    most_pixels=200_000_000,
    memory=1 << 30,
    seconds=60,
)
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image"


def command(file: Path, order: Order) -> list[str]:
    return [
        sys.executable,
        "-m",
        "mediaq.pipelines.conversion",
        str(file),
        msgspec.json.encode(order).decode(),
    ]


def converted(file: Path, data: bytes, **bounds: int) -> bytes:
    file.write_bytes(data)
    order = msgspec.structs.replace(ORDER, **bounds)
    done = subprocess.run(command(file, order), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\xff\xd8\xff")
    return done.stdout


def refusal(file: Path, data: bytes, **bounds: int) -> str:
    file.write_bytes(data)
    order = msgspec.structs.replace(ORDER, **bounds)
    done = subprocess.run(command(file, order), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (REFUSED, b"")
    return done.stderr.decode().strip()


def size_of(jpeg: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(jpeg)).size


@pytest.mark.parametrize("kind", [*KINDS, "HEIC"])
def test_every_kind_of_image_becomes_a_jpeg_that_looks_the_same(file: Path, kind: str) -> None:
    jpeg = converted(file, HEIC.read_bytes() if kind == "HEIC" else saved(quarters(), kind))
    assert (size_of(jpeg), seen(jpeg)) == (SIZE, SHOWN)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_exif_says_of_turning_is_done(file: Path, kind: str, orientation: int) -> None:
    jpeg = converted(file, turned(kind, orientation))
    assert (size_of(jpeg), seen(jpeg)) == (SIZE, SHOWN)
    assert Image.open(io.BytesIO(jpeg)).getexif() == {}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("P", "BMP"), ("RGBA", "PNG"), ("RGBA", "WEBP")],
)
def test_other_ways_to_store_colours_become_rgb(file: Path, mode: str, kind: str) -> None:
    jpeg = converted(file, saved(quarters().convert(mode), kind))
    assert Image.open(io.BytesIO(jpeg)).mode == "RGB"
    assert seen(jpeg) == SHOWN


def test_sixteen_bits_of_grey_keep_their_brightness(file: Path) -> None:
    jpeg = converted(file, saved(Image.new("I;16", SIZE, 65535 // 2), "PNG"))
    pixel: Any = Image.open(io.BytesIO(jpeg)).convert("RGB").getpixel((50, 50))
    assert all(abs(value - 127) <= 3 for value in pixel)


def test_the_transparent_shows_white(file: Path) -> None:
    image = quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 80, 60))
    assert seen(converted(file, saved(image, "PNG"))) == ("White", "Blue", "Green", "White")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_pictures_the_first_is_taken(file: Path, kind: str) -> None:
    others = [Image.new("RGB", SIZE, colour) for colour in ("black", "blue")]
    jpeg = converted(file, saved(quarters(), kind, save_all=True, append_images=others))
    assert (size_of(jpeg), seen(jpeg)) == (SIZE, SHOWN)


def test_an_image_is_scaled_down_to_the_pixels_that_are_taken(file: Path) -> None:
    jpeg = converted(file, turned("JPEG", 6, (400, 300)), most_side=200)
    assert (size_of(jpeg), seen(jpeg)) == ((200, 150), SHOWN)


def test_an_image_is_scaled_down_to_the_bytes_that_are_taken_and_not_far_below(file: Path) -> None:
    noise = Image.frombytes("RGB", (600, 600), os.urandom(600 * 600 * 3))
    jpeg = converted(file, saved(noise, "PNG"), most_bytes=100_000)
    assert 50_000 <= len(jpeg) <= 100_000


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_cut_short(file: Path, kind: str) -> None:
    noise = Image.frombytes("RGB", (200, 200), bytes(range(256)) * 468 + bytes(192))
    assert refusal(file, cut(saved(noise, kind))).startswith("is damaged or cut short (")
    assert str(file) not in refusal(file, cut(saved(noise, kind)))


def test_a_heic_that_is_cut_short(file: Path) -> None:
    assert refusal(file, cut(HEIC.read_bytes())).startswith("is damaged or cut short (")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200"/>'


@pytest.mark.parametrize(
    "data", [b"", b"text", b"%PDF-1.7\n", SVG, b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", b"RIFF\0\0\0\0WAVE"]
)
def test_what_is_no_image_of_a_known_kind(file: Path, data: bytes) -> None:
    assert refusal(file, data).startswith("is no image of a known kind (JPEG, PNG, ")


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((79, 200), "has 79 x 200 pixels; each side must have at least 80"),
        ((200, 79), "has 200 x 79 pixels; each side must have at least 80"),
        ((12_600, 100), "is too long and narrow: 12600 x 100 pixels"),
    ],
)
def test_too_small_a_side(file: Path, size: tuple[int, int], why: str) -> None:
    assert refusal(file, saved(Image.new("1", size), "PNG")).startswith(why)


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG of so many white pixels, of which it holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + b"\x01\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))


def test_a_bomb_is_refused_by_its_header(file: Path) -> None:
    why = refusal(file, png_of(20_000, 20_000))
    assert why == "has 20000 x 20000 pixels, more than the 200,000,000 that are opened"


# Between this process and the program, because a process starts with the peak of the one that it comes from.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(file: Path) -> int:
    """Bytes that the program's process took at most."""
    measure = [sys.executable, "-c", MEASURE, *command(file, ORDER)]
    done = subprocess.run(measure, capture_output=True, check=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_memory_stays_small_whatever_the_image(file: Path, kind: str) -> None:
    """48 million pixels are 144 MB, and four times as many would take no more than these."""
    file.write_bytes(saved(Image.new("RGB", (8000, 6000), "teal"), kind))
    assert peak(file) < 120_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process maps")
def test_an_image_that_takes_more_memory_than_allowed_is_refused(file: Path) -> None:
    data = saved(Image.new("RGB", (6000, 4000)), "BMP")
    assert refusal(file, data, memory=96 << 20) == "needs more memory to open than a conversion may take"


def test_kinds_are_told_by_content() -> None:
    brands = {b"heic": "HEIC", b"mif1": "HEIC", b"avif": "AVIF", b"isom": None}
    for brand, kind in brands.items():
        assert kind_of(b"\0\0\0\x14ftyp" + brand + bytes(8)) == kind
    assert kind_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"
