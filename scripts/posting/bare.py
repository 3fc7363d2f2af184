"""`python -m posting.bare PORT`: the least that a route can do which takes a job.

It decodes JSON, inserts a row into Postgres and pushes the id into a list in Redis, through the clients that
Starlette's users have. It checks nothing, knows nobody, and what it has answered may be lost.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mediaq.commands.service import GRACE
from mediaq.logs import setup_logs
from mediaq.settings import Settings, load_settings

PATH = "/bare"
_TABLE = (
    "create table if not exists bare (id bigint generated always as identity primary key, body json not null)"
)
_INSERT = "insert into bare (body) values ($1) returning id"


async def _post(request: Request) -> Response:
    body = msgspec.json.decode(await request.body())
    row = await request.app.state.pool.fetchrow(_INSERT, msgspec.json.encode(body).decode())
    await request.app.state.redis.lpush("bare", row["id"])
    return Response(msgspec.json.encode({"id": row["id"]}), 202, media_type="application/json")


def create_bare(settings: Settings) -> Starlette:
    """Build the application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        size = settings.database.pool_size
        async with (
            asyncpg.create_pool(settings.database.url, min_size=size, max_size=size) as app.state.pool,
            Redis.from_url(settings.redis.url) as app.state.redis,
        ):
            await app.state.pool.execute(_TABLE)
            yield

    return Starlette(routes=[Route(PATH, _post, methods=["POST"])], lifespan=lifespan)


def main(port: int) -> None:
    """Serve it as `mediaq serve` serves: with its settings of uvicorn and its log."""
    settings = load_settings()
    setup_logs(settings.logs)
    uvicorn.run(
        create_bare(settings), port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=GRACE
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
