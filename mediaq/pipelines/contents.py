"""What is embedded: a text, a picture, frames of a film, or what is said in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from mediaq.pipelines.film import find_film, take_thumbnails
from mediaq.pipelines.operation import Request, Work
from mediaq.pipelines.passages import split
from mediaq.pipelines.patience import patiently
from mediaq.pipelines.pictures import for_embedding
from mediaq.pipelines.transcription import recall_transcript

# Pixels of the longer side of a frame of a video.
FRAME_SIDE = 1024

VideoContent = Literal["frames", "transcript", "both"]


@frozen
class Piece:
    """What one vector is made of.

    Args:
        content: A text in UTF-8, or a picture.
        place: Where in the whole content it is; empty: it is the whole.
    """

    content: bytes
    place: Mapping[str, Any]


@frozen
class Contents:
    """What is embedded of a media item.

    Args:
        pictures: For models that take pictures.
        text: For the others, or for all where there are no pictures; None: there is none.
    """

    pictures: Sequence[Piece] = ()
    text: str | None = None


def has_pictures(request: Request) -> bool:
    """Tells whether pictures are to be embedded."""
    return request["contentType"] == "image" or (
        request["contentType"] == "video" and _video_content(request) != "transcript"
    )


def has_text(request: Request) -> bool:
    """Tells whether a text is to be embedded."""
    return request["contentType"] == "text" or (
        request["contentType"] == "video" and _video_content(request) != "frames"
    )


async def find_contents(work: Work) -> Contents:
    """Reads what is to be embedded.

    Raises:
        Refused: It cannot be read, or no transcript of the film is on record.
        ProviderError: S3 cannot be asked for now.
    """
    request = work.job.request
    match request["contentType"]:
        case "image":
            return Contents([Piece(await patiently(work, lambda: _read_image(work)), {})])
        case "video":
            # What is refused for nothing comes first.
            text = await recall_transcript(work) if has_text(request) else None
            return Contents(await _frames(work) if has_pictures(request) else (), text)
        case _:
            return Contents(text=request["content"])


def passages(text: str, most: int) -> list[Piece]:
    """Cuts a text into pieces of so many bytes at most; one that fits is one piece."""
    whole = text.encode()
    found = split(text, most) if len(whole) > most else []
    if not found:
        return [Piece(whole, {})]
    return [Piece(each.of(text).encode(), {"begin": each.begin, "end": each.end}) for each in found]


def _video_content(request: Request) -> VideoContent:
    asked: VideoContent = request.get("videoContent") or "frames"
    return asked


async def _read_image(work: Work) -> bytes:
    tools, key = work.tools, work.job.request["s3Key"]
    return await for_embedding(tools.aws, tools.converter, work.bucket, key)


async def _frames(work: Work) -> list[Piece]:
    count = work.job.request.get("videoFrames") or 1
    film = await find_film(work)
    frames = await patiently(work, lambda: take_thumbnails(work, film, count, FRAME_SIDE))
    return [Piece(frame.still.content, {"atMs": frame.at_ms} if count > 1 else {}) for frame in frames]
