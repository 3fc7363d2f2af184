"""Jobs of one text operation, as the routes take them, and what has become of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from house import USER, Api, StandIn
from processes import kill_family

from mediaq.queue import keys
from mediaq.resources import Resources
from mediaq.settings import Settings

QUEUE = "text-analysis"
PATH = f"/api/queues/{QUEUE}"
# What the stand-in calls the one operation.
CALL = "DetectSentiment"

T = TypeVar("T")


def text(item: str = "m", words: str = "A fine day by the sea.") -> dict[str, Any]:
    """A request that one call answers."""
    return {"mediaItemId": item, "text": words, "languageCode": "en", "operations": {"detectSentiment": True}}


async def send(
    api: Api, method: str, path: str, user: str = USER, *, admin: bool = False, **given: Any
) -> httpx.Response:
    """Sends a request for a user."""
    headers = api.as_user(user, **({"admin": True} if admin else {}))
    return await api.http.request(method, path, headers={**headers, **given.pop("headers", {})}, **given)


async def cancel(api: Api, job_id: str, user: str = USER, **how: Any) -> httpx.Response:
    return await send(api, "DELETE", f"{PATH}/{job_id}", user, **how)


async def retry(api: Api, job_id: str, user: str = USER, **how: Any) -> httpx.Response:
    return await send(api, "POST", f"{PATH}/{job_id}/retry", user, **how)


async def waiting(resources: Resources) -> list[str]:
    """The ids in the queue's list."""
    found: list[bytes] = await resources.redis.lrange(keys.queue(QUEUE), 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in found]


async def status_in_rq(resources: Resources, job_id: str) -> str:
    status: Any = await resources.redis.hget(keys.job(job_id), "status")
    return "" if status is None else str(status, "ascii")


async def row(resources: Resources, job_id: str) -> dict[str, Any]:
    found = await resources.store.pool.fetchrow("select * from jobs where id = $1", job_id)
    assert found is not None
    return dict(found)


async def item_status(resources: Resources, item: str = "m") -> Any:
    return await resources.store.pool.fetchval(
        "select processing_status from media_items where id = $1", item
    )


async def runs(resources: Resources, job_id: str) -> list[tuple[str, str | None]]:
    """The job's calls on record: how each stands, and how sure its cost is."""
    rows = await resources.store.pool.fetch(
        "select state, certainty from operation_runs left join cost_entries on run_id = operation_runs.id"
        " where operation_runs.job_id = $1 order by operation_runs.id",
        job_id,
    )
    return [(found["state"], found["certainty"]) for found in rows]


async def until(check: Callable[[], Awaitable[T]], seconds: float = 20) -> T:
    """Returns what a check of other processes gives as soon as it is anything."""
    async with asyncio.timeout(seconds):
        while not (found := await check()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
        return found


async def until_held(standin: StandIn) -> None:
    """Waits until the stand-in holds a call: it has used up its one fault for that."""

    async def held() -> bool:
        async with httpx.AsyncClient() as http:
            return not (await http.get(f"{standin.url}/_standin/faults")).json()["faults"]

    await until(held)


async def until_status(resources: Resources, job_id: str, *statuses: str) -> dict[str, Any]:
    """Waits until a job is on record so."""

    async def stands() -> dict[str, Any] | None:
        found = await row(resources, job_id)
        return found if found["status"] in statuses else None

    found = await until(stands)
    assert found is not None
    return found


@asynccontextmanager
async def stock_worker(settings: Settings, *queues: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """RQ's own worker, which forks, at work on its own while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *("rq", "worker", "--url", settings.redis.url, *(queues or (QUEUE,))),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        kill_family(process.pid)
        await process.wait()
