"""Health: alive, and ready or what is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from mediaq.resources import Resources
from mediaq.service.answers import answer
from mediaq.store.borrowed import borrow

# Seconds a server may take to show that it is there.
PATIENCE = 2.0


async def get_healthz(request: Request) -> Response:  # noqa: ARG001 - the shape of an endpoint
    """Says that the process answers."""
    return answer({"status": "ok"})


async def get_readyz(request: Request) -> Response:
    """Says whether the servers that are needed can be reached, and which cannot."""
    resources: Resources = request.app.state.resources
    checks = {
        "redis": _is_there(resources.redis.ping()),
        "postgres": _is_there(_ask_postgres(resources)),
    }
    found = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))
    missing = [name for name, there in found.items() if not there]
    content = {"status": "away" if missing else "ok", "away": missing}
    return answer(content, HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK)


async def _is_there(question: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await question
    except Exception:  # noqa: BLE001 - whatever it is that fails, the server cannot be used
        return False
    return True


async def _ask_postgres(resources: Resources) -> None:
    async with borrow(resources.store.pool, PATIENCE) as connection:
        await connection.execute("select 1")
