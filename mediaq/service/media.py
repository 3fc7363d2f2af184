"""The REST routes of media items: shown, deleted, compared."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from loguru import logger
from msgspec import Meta
from starlette.responses import Response

from mediaq.erasure import AT_ONCE, clear
from mediaq.errors import CommitUnknown, reason_of
from mediaq.pipelines.requests import Name
from mediaq.service.answers import answer, links_of, millis
from mediaq.service.endpoint import Call
from mediaq.service.ownership import refuse_what_is_hidden
from mediaq.service.problems import Problem, outcome_unknown
from mediaq.store import media
from mediaq.store.erasures import HEAD_START, Erasure, erase
from mediaq.store.media import MediaItem
from mediaq.store.vectors import find_similar

# Jobs that are shown with an item: the newest.
MOST_JOBS = 50
# Seconds that who deletes an item waits until what it left elsewhere is gone, too; the upkeep goes on.
PATIENCE = HEAD_START
# Items that one answer has, unless told, and at most.
SIMILAR, MOST_SIMILAR = 10, 100


class SimilarQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What similar media items are asked for by.

    Args:
        model: The model whose vectors are compared; without it, that of the item's newest vector.
        limit: How many items the answer has at most.
    """

    model: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_SIMILAR)] = SIMILAR


async def get_item(call: Call) -> Response:
    """Shows a media item: how it stands, what is known of it, and what that cost."""
    media_item, resources = call.path["media_item"], call.resources
    seconds = resources.settings.database.timeout
    found = await media.find(resources.store, media_item, most=MOST_JOBS, seconds=seconds)
    if found is None:
        raise _unknown(media_item)
    refuse_what_is_hidden(call.caller, f"media item {media_item}", found.owner)
    return answer(_show(found))


async def delete_item(call: Call) -> Response:
    """Deletes a media item with its jobs, results and vectors, and what mediaq itself put into S3 for it.

    Its cost rows stay, and so does the object that was uploaded. 204 says that all is gone; 202 that the item
    is, and the rest will be: a job of it has yet to end, or a server is away.
    """
    media_item = call.path["media_item"]
    erased = await _erase(call, media_item)
    if erased is None:
        raise _unknown(media_item)
    if left := await _clear(call, erased):
        return answer({"mediaItemId": media_item, "jobsEnding": left}, HTTPStatus.ACCEPTED)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _clear(call: Call, erased: list[Erasure]) -> int:
    try:
        async with asyncio.timeout(PATIENCE):
            return await clear(call.resources, erased[:AT_ONCE]) + len(erased[AT_ONCE:])
    except Exception as error:  # noqa: BLE001 - whatever it is: the item is gone, and the upkeep does the rest
        reason = reason_of(error)
        logger.warning("what media item {} left is deleted later: {}", call.path["media_item"], reason)
        return len(erased)


async def _erase(call: Call, media_item: str) -> list[Erasure] | None:
    queues = call.resources.settings.queues
    timeouts = {name: float(queues.named(name).timeout) for name in queues.names()}
    user_id = None if call.caller.admin else call.caller.user_id
    try:
        return await erase(call.resources.store, media_item, user_id, timeouts)
    except CommitUnknown as error:
        raise outcome_unknown(
            f"Postgres went away while media item {media_item} was deleted, which may be done or not: "
            "repeat the request; 404 says that it is done"
        ) from error


def _unknown(media_item: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"there is no media item {media_item}")


def _show(item: MediaItem) -> dict[str, Any]:
    return {
        "mediaItemId": item.row["id"],
        "status": item.row["processing_status"],
        "metadata": item.row["metadata"],
        "createdAt": millis(item.row["created_at"]),
        "updatedAt": millis(item.row["updated_at"]),
        "jobs": [
            {
                "id": job["id"],
                "jobType": job["type"],
                "status": job["status"],
                "links": links_of(job["type"], job["id"]),
            }
            for job in item.jobs
        ],
        "embeddings": [
            {
                "model": vector["model"],
                "dimensions": vector["dimensions"],
                "chunks": vector["chunks"],
                "createdAt": millis(vector["created_at"]),
            }
            for vector in item.embeddings
        ],
        "cost": item.billed,
        "possibleCost": item.possibly_billed,
    }


async def get_similar(call: Call) -> Response:
    """Shows the caller's media items that are most like one of theirs; to admins, everybody's."""
    caller, resources = call.caller, call.resources
    media_item, model = call.path["media_item"], call.query.model
    found = await find_similar(
        resources.store,
        media_item,
        user_id=None if caller.admin else caller.user_id,
        model=model,
        most=call.query.limit,
        seconds=resources.settings.database.timeout,
    )
    if found is None:
        raise _unknown(media_item)
    refuse_what_is_hidden(caller, f"media item {media_item}", found.owner)
    if found.model is None:
        kind = f"vector of {model}" if model else "vector"
        detail = f"media item {media_item} has no {kind} yet: send it to embedding-generation first"
        raise Problem(HTTPStatus.CONFLICT, detail)
    return answer(
        {
            "mediaItemId": media_item,
            "model": found.model,
            "dimensions": found.dimensions,
            "items": [
                {
                    "mediaItemId": item["media_item_id"],
                    "similarity": item["similarity"],
                    "metadata": item["metadata"],
                }
                for item in found.items
            ],
        }
    )
