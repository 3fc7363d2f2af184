"""The service: its routes, and what it opens while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mediaq.resources import open_resources
from mediaq.service.auth import Authenticator
from mediaq.service.documents import ASSETS, Document
from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.problems import EXPECTED, answer_error, answer_wrong_method
from mediaq.settings import Settings
from mediaq.upkeep import upkeep


def create_app(settings: Settings) -> Starlette:
    """Builds the service; it opens its connections when it starts.

    Args:
        settings: The settings.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_resources(settings) as resources, upkeep(resources):
            app.state.resources = resources
            app.state.authenticator = Authenticator(settings.auth)
            yield

    app = Starlette(
        routes=[
            *(endpoint.route() for endpoint in (*ENDPOINTS, *PUBLIC)),
            Mount("/docs", StaticFiles(directory=ASSETS)),
        ],
        exception_handlers={
            **dict.fromkeys((*EXPECTED, Exception), answer_error),
            HTTPStatus.METHOD_NOT_ALLOWED: answer_wrong_method,
        },
        lifespan=lifespan,
    )
    # What is not there is not there: no caller is sent elsewhere, with its token.
    app.router.redirect_slashes = False
    app.state.document = Document(ENDPOINTS, PUBLIC)
    return app
