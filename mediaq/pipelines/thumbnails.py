"""Thumbnails of a film, and its poster: decoded here, and put beside the uploads."""

from __future__ import annotations

from typing import Any

from mediaq.aws import objects
from mediaq.model import Settled, TaskStatus
from mediaq.pipelines.film import Film, Pictures, take_pictures
from mediaq.pipelines.frames import Thumbnail
from mediaq.pipelines.metered import recorded
from mediaq.pipelines.operation import Work
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.stills import KINDS
from mediaq.pipelines.video_parameters import Poster, Thumbnails, said
from mediaq.settings import Settings, Video
from mediaq.store import operations

POSTER = "poster"


def folder(settings: Settings, job_id: str) -> str:
    """Returns what the keys of a job's pictures begin with."""
    return f"{settings.video.thumbnail_prefix}{job_id}/"


async def generate_thumbnails(work: Work, film: Film) -> Any:
    """Takes pictures at even times, and a poster on request.

    They cost nothing but S3 requests, and are the job's own: an earlier job's are not reused.

    A picture is one PUT under a key that follows from the job: a repeated attempt overwrites it, and one that
    is cut short leaves no upload half done.

    Raises:
        Refused: No picture of the film can be decoded.
    """
    pictures = _pictures(said(work.job.request, work.operation, Thumbnails), work.tools.settings.video)

    async def make(_: operations.Run) -> Settled:
        return Settled(await _take(work, film, pictures))

    return await patiently(work, lambda: recorded(work, "mediaq", None, make))


def _pictures(asked: Thumbnails, settings: Video) -> Pictures:
    return Pictures(
        count=asked.count or settings.thumbnails,
        max_side=asked.side or settings.thumbnail_side,
        kind=KINDS[asked.format],
        poster=asked.poster is not False,
        poster_ms=asked.poster.at_ms if isinstance(asked.poster, Poster) else None,
    )


async def _take(work: Work, film: Film, pictures: Pictures) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = []

    async def keep(picture: Thumbnail, is_poster: bool) -> None:
        name = POSTER if is_poster else str(len(taken) + 1)
        kind = pictures.kind
        key = f"{folder(work.tools.settings, work.job.id)}{name}.{kind.suffix}"
        still = picture.still
        await patiently(
            work, lambda: objects.write(work.tools.aws, work.bucket, key, still.content, kind.media_type)
        )
        shown = {"s3Key": key, "atMs": picture.at_ms, "width": still.width, "height": still.height}
        taken.append({**shown, POSTER: True} if is_poster else shown)
        work.report(TaskStatus.PROCESSING, f"{len(taken)} of {pictures.count + pictures.poster}")

    await take_pictures(work, film, pictures, keep)
    return taken
