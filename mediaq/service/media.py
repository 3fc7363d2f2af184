"""The REST routes of media items."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from mediaq.pipelines.requests import Name
from mediaq.service.answers import answer
from mediaq.service.endpoint import Call
from mediaq.service.problems import Problem
from mediaq.store.vectors import find_similar

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
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no media item {media_item}")
    if not caller.may_see(found.owner):
        raise Problem(HTTPStatus.FORBIDDEN, f"media item {media_item} belongs to another user")
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
