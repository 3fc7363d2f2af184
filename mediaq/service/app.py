"""The service: its routes, and what it opens while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from mediaq.resources import open_resources
from mediaq.service.auth import open_authenticator
from mediaq.service.dashboard import open_dashboard, serve_dashboard
from mediaq.service.endpoints import ENDPOINTS
from mediaq.service.follower import following
from mediaq.service.health import get_healthz, get_readyz
from mediaq.service.limits import Requests
from mediaq.service.problems import EXPECTED, answer_error
from mediaq.service.streams import Records
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
            following(resources) as hub,
        ):
            app.state.resources, app.state.authenticator = resources, authenticator
            app.state.requests = Requests(resources.redis, settings.service.requests)
            app.state.hub, app.state.records = hub, Records(resources)
            with open_dashboard(settings.redis) as app.state.dashboard:
                yield

    return Starlette(
        routes=[
            *(endpoint.route() for endpoint in ENDPOINTS),
            Route("/healthz", get_healthz),
            Route("/readyz", get_readyz),
            Mount("/rq", serve_dashboard),
        ],
        exception_handlers=dict.fromkeys((*EXPECTED, Exception), answer_error),
        lifespan=lifespan,
    )
