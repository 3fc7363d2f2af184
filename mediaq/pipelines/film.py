"""A film in S3 as this machine sees it: probed and looked into by ranged reads, beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, TypeVar

import attrs
from attrs import frozen

from mediaq.aws import objects
from mediaq.errors import Refused, TryAgain, UnreadableMedia
from mediaq.pipelines.errands import Errands
from mediaq.pipelines.frames import Probe, RangedFile, Thumbnail, poster, probe, thumbnails
from mediaq.pipelines.operation import Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.stills import KINDS, Kind

# Seconds for which one read is repeated while its thread waits, before the thread is given back.
READ_PATIENCE = 60.0

T = TypeVar("T")
Keep = Callable[[Thumbnail, bool], Coroutine[Any, Any, None]]


@frozen
class Film:
    """A film that was found and probed.

    Args:
        info: The object in S3.
        probe: What is in it.
    """

    info: objects.ObjectInfo
    probe: Probe


@frozen
class Pictures:
    """Which pictures are to be taken of a film.

    Args:
        count: How many, at even times.
        max_side: Pixels of the longer side at most.
        kind: The kind of file.
        poster: Whether one more stands for the film.
        poster_ms: When the film shows that one; None: after a tenth of the film.
    """

    count: int
    max_side: int
    kind: Kind = KINDS["jpeg"]
    poster: bool = False
    poster_ms: int | None = None


async def find_film(work: Work) -> Film:
    """Looks at the job's film, once for all of the job's operations.

    Raises:
        Refused: There is no such object, or it is no film.
        ProviderError: S3 cannot be asked for now.
    """
    return await work.share("film", lambda: patiently(work, lambda: _probe(work)))


async def take_pictures(work: Work, film: Film, pictures: Pictures, keep: Keep) -> None:
    """Takes pictures, each of which is kept before the next is taken: one at a time is in memory.

    Args:
        work: The operation.
        film: The film.
        pictures: Which ones.
        keep: Keeps one, told whether it is the poster, which comes last.

    Raises:
        Refused: No picture can be decoded.
        ProviderError: S3 cannot be asked for now.
    """

    def take(file: RangedFile, errands: Errands) -> None:
        side, kind = pictures.max_side, pictures.kind
        for picture in thumbnails(file, count=pictures.count, max_side=side, kind=kind):
            errands.run(keep(picture, False))
        if pictures.poster:
            errands.run(keep(poster(file, at_ms=pictures.poster_ms, max_side=side, kind=kind), True))

    await _beside(work, film.info, take)


async def take_thumbnails(work: Work, film: Film, count: int, max_side: int) -> list[Thumbnail]:
    """Takes a few pictures at even times, as JPEGs, all of which are in memory.

    Raises:
        Refused: No picture can be decoded.
        ProviderError: S3 cannot be asked for now.
    """
    return await _beside(
        work, film.info, lambda file, _: list(thumbnails(file, count=count, max_side=max_side))
    )


async def _probe(work: Work) -> Film:
    info = await objects.head(work.tools.aws, work.bucket, work.job.request["s3Key"])
    found = await _beside(work, info, lambda file, _: probe(file))
    if not found.has_video:
        raise Refused(f"{info.key} has no moving pictures", "NoVideo")
    return Film(info, found)


async def _beside(work: Work, info: objects.ObjectInfo, look: Callable[[RangedFile, Errands], T]) -> T:
    reading = attrs.evolve(work, patience=min(work.patience, READ_PATIENCE))

    def read_range(start: int, end: int) -> bytes:
        return errands.run(patiently(reading, lambda: objects.read_range(work.tools.aws, info, start, end)))

    # Closing both ends the thread at once, should this task be cancelled.
    with closing(Errands()) as errands, closing(RangedFile(read_range, info.size)) as file:
        try:
            return await asyncio.to_thread(look, file, errands)
        except UnreadableMedia as error:
            raise Refused(f"{info.key} cannot be read as a video: {error}", "UnreadableMedia") from error
        except OSError as error:
            raise TryAgain(f"{info.key} could not be read", type(error).__name__) from error
