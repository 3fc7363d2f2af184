"""uvicorn's server, as the service needs it."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette

from mediaq.service.hub import Hub


class Server(uvicorn.Server):
    """Ends open event streams as soon as it is asked to stop; uvicorn would wait for their clients to go.

    Args:
        app: The service.
        settings: uvicorn's.
    """

    def __init__(self, app: Starlette, **settings: Any) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, lifespan="on", **settings))
        self._app = app
        # The library would cut all streams of the process off when any of its servers stops.
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops, once it is asked to."""
        hub: Hub = self._app.state.hub
        hub.close()
        await super().shutdown(sockets)
