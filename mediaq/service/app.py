"""The service: its routes, and what it opens while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mediaq.resources import open_resources
from mediaq.service.auth import open_authenticator
from mediaq.service.dashboard import lead_to_dashboard, open_dashboard, serve_dashboard
from mediaq.service.documents import ASSETS, Document
from mediaq.service.endpoints import ENDPOINTS, PUBLIC
from mediaq.service.follower import following
from mediaq.service.intake import open_intake
from mediaq.service.limits import Requests
from mediaq.service.metrics import Standing
from mediaq.service.observed import Observed
from mediaq.service.problems import EXPECTED, answer_error, answer_wrong_method
from mediaq.service.streams import Records
from mediaq.settings import Settings
from mediaq.telemetry.crew import Crew
from mediaq.telemetry.lag import watching_loop
from mediaq.telemetry.telemetry import Telemetry
from mediaq.upkeep import upkeep


def create_app(
    settings: Settings, *, crew: Crew | None = None, telemetry: Telemetry | None = None
) -> Starlette:
    """Builds the service; it opens its connections when it starts.

    Args:
        settings: The settings.
        crew: The processes that it is one of, where it is not alone.
        telemetry: Told of what it does; by default one of its own.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            open_resources(settings, telemetry) as resources,
            open_authenticator(settings.auth, resources.tools.http) as authenticator,
            upkeep(resources),
            following(resources) as hub,
            open_intake(resources) as app.state.intake,
            watching_loop(resources.telemetry.meters.loop_lagged),
        ):
            app.state.resources, app.state.authenticator = resources, authenticator
            app.state.requests = Requests(resources.redis, settings.service.requests)
            app.state.hub, app.state.records = hub, Records(resources)
            app.state.standing, app.state.crew = Standing(resources), crew
            with (
                open_dashboard(settings.redis) as app.state.dashboard,
                crew.answering(resources.telemetry.meters.registry) if crew else nullcontext(),
            ):
                yield

    app = Starlette(
        routes=[
            *(endpoint.route() for endpoint in (*ENDPOINTS, *PUBLIC)),
            Mount("/docs", StaticFiles(directory=ASSETS)),
            Route("/rq", lead_to_dashboard),
            Mount("/rq", serve_dashboard),
        ],
        middleware=[Middleware(Observed)],
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
