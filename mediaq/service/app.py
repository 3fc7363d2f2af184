"""The service: its routes, and what it opens while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mediaq.resources import open_resources
from mediaq.service.auth import open_authenticator
from mediaq.service.dashboard import open_dashboard, serve_dashboard
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
        async with (
            open_resources(settings) as resources,
            open_authenticator(settings.auth, resources.tools.http) as authenticator,
            upkeep(resources),
        ):
            app.state.resources, app.state.authenticator = resources, authenticator
            with open_dashboard(settings.redis) as app.state.dashboard:
                yield

    app = Starlette(
        routes=[
            *(endpoint.route() for endpoint in (*ENDPOINTS, *PUBLIC)),
            Mount("/docs", StaticFiles(directory=ASSETS)),
            Mount("/rq", serve_dashboard),
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
