"""The REST routes of media items."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from mediaq.resources import Resources
from mediaq.service.answers import answer
from mediaq.service.problems import Problem
from mediaq.store.vectors import find_similar

# Items that one answer has, unless told, and at most.
SIMILAR, MOST_SIMILAR = 10, 100


async def get_similar(request: Request) -> Response:
    """Shows the caller's media items that are most like one of theirs; to admins, everybody's."""
    caller = await request.app.state.authenticator.caller(request)
    resources: Resources = request.app.state.resources
    media_item, model = request.path_params["media_item"], request.query_params.get("model")
    found = await find_similar(
        resources.store,
        media_item,
        user_id=None if caller.admin else caller.user_id,
        model=model,
        most=_limit(request),
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


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(SIMILAR))
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MOST_SIMILAR):
        detail = f"limit: it is a whole number from 1 to {MOST_SIMILAR}, not {given!r}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field="limit")
    return int(given)
