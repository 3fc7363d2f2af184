"""Converts images in S3 that Rekognition does not take as they are stored, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from tempfile import TemporaryFile
from typing import IO

import msgspec
from loguru import logger

from mediaq.aws import objects
from mediaq.aws.clients import Aws
from mediaq.aws.objects import ObjectInfo
from mediaq.errors import Refused, TryAgain
from mediaq.pipelines.order import REFUSED, Order
from mediaq.settings import Image as ImageSettings

PROGRAM = "mediaq.pipelines.conversion"
# Where the program finds the image: each opening of it is a file of its own, read from the start.
IMAGE = "/dev/stdin"
# What Python needs to start; credentials stay out of a process that opens strangers' files.
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG")
# Whoever stops a process by these means it, not the image.
INTERRUPTIONS = frozenset({-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL})


class Converter:
    """Makes JPEGs of images, a few at a time.

    The memory that decoding takes, a crash of a decoder and a decoder that never ends are those of another
    process, which is ended when the caller is cancelled.

    Args:
        aws: The clients that the images are read by.
        settings: How many at once, and what one may take.
    """

    def __init__(self, aws: Aws, settings: ImageSettings) -> None:
        self._aws = aws
        self._settings = settings
        self._places = asyncio.Semaphore(settings.conversions)

    async def jpeg(self, info: ObjectInfo, *, most_bytes: int, most_side: int, least_side: int) -> bytes:
        """Returns an image as a JPEG: upright, in RGB, on white, scaled down as little as needed.

        Args:
            info: The image, of any kind that `conversion` knows.
            most_bytes: Bytes of the JPEG at most.
            most_side: Pixels of its longer side at most.
            least_side: Pixels of its shorter side at least; a smaller image is refused, not enlarged.

        Raises:
            Refused: It is no image, damaged, too large or too small, or gone by now.
            ProviderError: S3 cannot be asked for now, or somebody stopped the conversion.
        """
        settings = self._settings
        if info.size > settings.most_bytes:
            raise _refused(
                info, f"has {info.size} bytes, more than the {settings.most_bytes} that are opened"
            )
        order = Order(
            most_bytes, most_side, least_side, settings.most_pixels, settings.memory, settings.timeout
        )
        async with self._places:
            # Without a name: whoever is killed leaves no file behind.
            with TemporaryFile(prefix="mediaq-") as file:
                await objects.save(self._aws, info, file)
                return await self._run(info, file, order)

    async def _run(self, info: ObjectInfo, file: IO[bytes], order: Order) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", PROGRAM, IMAGE, msgspec.json.encode(order)),
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            # Ctrl-C is for the worker, which lets its work end.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(order.seconds):
                jpeg, said = await process.communicate()
        except TimeoutError:
            raise _refused(info, f"takes longer than {order.seconds} s to convert") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise _failure(info, process.returncode, said.decode(errors="replace").strip())
        return jpeg


def _failure(info: ObjectInfo, code: int | None, said: str) -> Refused | TryAgain:
    if code == REFUSED:
        return _refused(info, said)
    if code in INTERRUPTIONS:
        return TryAgain(f"{info.key} was not converted: the conversion was stopped", "Interrupted")
    logger.warning("The conversion of {key} ended with {code}: {said}", key=info.key, code=code, said=said)
    return _refused(
        info, "makes its decoder crash: it is damaged, or needs more memory or time than it may take"
    )


def _refused(info: ObjectInfo, why: str) -> Refused:
    return Refused(f"{info.key} {why}", "UnreadableMedia")
