"""A film in S3 as this machine sees it: probed and looked into by ranged reads, beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from attrs import frozen

from mediaq.aws import objects
from mediaq.errors import Refused, TryAgain, UnreadableMedia
from mediaq.pipelines.frames import Probe, RangedFile, Thumbnail, probe, thumbnails
from mediaq.pipelines.metered import patiently
from mediaq.pipelines.operation import Work

T = TypeVar("T")


@frozen
class Film:
    """A film that was found and probed.

    Args:
        info: The object in S3.
        probe: What is in it.
    """

    info: objects.ObjectInfo
    probe: Probe


async def find_film(work: Work) -> Film:
    """Looks at the job's film, once for all of the job's operations.

    Raises:
        Refused: There is no such object, or it is no film.
        ProviderError: S3 cannot be asked for now.
    """
    return await work.share("film", lambda: patiently(work, lambda: _probe(work)))


async def take_thumbnails(work: Work, film: Film, count: int, max_side: int) -> list[Thumbnail]:
    """Takes pictures at even times.

    Raises:
        Refused: No picture can be decoded.
        ProviderError: S3 cannot be asked for now.
    """
    return await _beside(work, film.info, lambda file: list(thumbnails(file, count=count, max_side=max_side)))


async def _probe(work: Work) -> Film:
    info = await objects.head(work.tools.aws, work.bucket, work.job.request["s3Key"])
    found = await _beside(work, info, probe)
    if not found.has_video:
        raise Refused(f"{info.key} has no moving pictures", "NoVideo")
    return Film(info, found)


async def _beside(work: Work, info: objects.ObjectInfo, look: Callable[[RangedFile], T]) -> T:
    loop = asyncio.get_running_loop()

    def read_range(start: int, end: int) -> bytes:
        reading = objects.read_range(work.tools.aws, info, start, end)
        return asyncio.run_coroutine_threadsafe(reading, loop).result()

    # Closing the file ends the thread at its next read, should this task be cancelled.
    with closing(RangedFile(read_range, info.size)) as file:
        try:
            return await asyncio.to_thread(look, file)
        except UnreadableMedia as error:
            raise Refused(f"{info.key} cannot be read as a video: {error}", "UnreadableMedia") from error
        except OSError as error:
            raise TryAgain(f"{info.key} could not be read: {error}", type(error).__name__) from error
