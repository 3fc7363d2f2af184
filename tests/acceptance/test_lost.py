"""A Redis that comes back empty, a process that freezes: what was accepted is pushed again, and ends."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from house import Api, StandIn
from programs import running, until_answering

from mediaq.embedded import ports
from mediaq.queue import keys
from mediaq.resources import Resources

pytest_plugins = ["program_fixtures"]

QUEUE = "text-analysis"
JOBS = 200


@pytest.fixture(autouse=True)
def each_paid(overrides: dict[str, str]) -> None:
    """Has each of the jobs, which all ask the same, make calls of its own."""
    overrides["MEDIAQ_REUSE__ENABLED"] = "false"


@pytest.fixture
def overrides() -> dict[str, str]:
    """As in production, not as in the other tests."""
    return {"MEDIAQ_UPKEEP__INTERVAL": "5"}


def text(number: int) -> dict[str, object]:
    return {
        "mediaItemId": f"note-{number}",
        "text": "A fine day by the sea.",
        "languageCode": "en",
        "operations": {"detectSentiment": True},
    }


async def counted(resources: Resources) -> Counter[str]:
    """How many jobs have which status."""
    rows = await resources.store.pool.fetch("select status, count(*) from jobs group by 1")
    return Counter({row["status"]: row["count"] for row in rows})


async def until_completed(resources: Resources, number: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await counted(resources))["completed"] < number:  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.1)


async def test_jobs_of_a_redis_that_is_emptied_in_the_middle_all_end_and_are_billed_once(
    api: Api, resources: Resources, standin: StandIn, environment: dict[str, str]
) -> None:
    standin.fault("DetectSentiment", "latency", seconds=0.1, times=None)
    for first in range(0, JOBS, 20):
        await asyncio.gather(*(api.accept(QUEUE, text(number)) for number in range(first, first + 20)))
    async with running(environment, "mediaq", "worker"):
        await until_completed(resources, JOBS // 10, seconds=30)
        await resources.redis.flushall()
        flushed = time.monotonic()
        await until_completed(resources, JOBS, seconds=60)
    assert time.monotonic() - flushed < 45
    assert await counted(resources) == {"completed": JOBS}
    assert len(standin.billed()) == JOBS


async def put_on_record(resources: Resources, number: int) -> list[str]:
    """Puts jobs on record that nobody has pushed; returns their ids, in the order of their acceptance."""
    await resources.store.pool.execute("insert into media_items (id, user_id) values ('m', 'user-1')")
    rows = await resources.store.pool.fetch(
        "insert into jobs (id, type, user_id, media_item_id, request, progress, max_attempts, accepted_at)"
        " select 'job-' || n, $2, 'user-1', 'm', '{}', '{}', 3, now() - interval '1 day' + n * interval '1 s'"
        " from generate_series(1, $1) n returning id",
        number,
        QUEUE,
    )
    return [row["id"] for row in rows]


@asynccontextmanager
async def two_services(environment: dict[str, str]) -> AsyncIterator[dict[int, Process]]:
    """Runs two services that compare often; gives them by their process ids."""
    services = {}
    numbers = [str(ports.free_port()) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for number in numbers:
            given = {**environment, "MEDIAQ_SERVICE__PORT": number, "MEDIAQ_UPKEEP__INTERVAL": "0.5"}
            service = await stack.enter_async_context(running(given, "mediaq", "serve"))
            services[service.pid] = service
            await until_answering(f"http://127.0.0.1:{number}/healthz")
        yield services


async def holder(resources: Resources) -> int:
    """The id of the process that holds the reconcilers' lease."""
    owner: str = await resources.store.pool.fetchval("select owner from leases where name = 'reconciler'")
    return int(owner.split(":")[1])


async def until_held_by_another(resources: Resources, pid: int) -> None:
    async with asyncio.timeout(20):
        while await holder(resources) == pid:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)


async def until_pushed(resources: Resources, number: int) -> None:
    async with asyncio.timeout(30):
        while await resources.redis.llen(keys.queue(QUEUE)) < number:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)


async def test_a_service_that_freezes_while_it_pushes_is_succeeded_and_pushes_nothing_twice(
    resources: Resources, environment: dict[str, str]
) -> None:
    async with two_services(environment) as services:
        ids = await put_on_record(resources, 3_000)
        await until_pushed(resources, 1)
        pid = await holder(resources)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await resources.redis.llen(keys.queue(QUEUE)) < len(ids), "it was to freeze in the middle"
            await until_held_by_another(resources, pid)
            await until_pushed(resources, len(ids))
        finally:
            os.kill(pid, signal.SIGCONT)
        # Asked to end, a service first ends the round that it is in.
        services[pid].terminate()
        async with asyncio.timeout(20):
            await services[pid].wait()
        waiting: list[bytes] = await resources.redis.lrange(keys.queue(QUEUE), 0, -1)  # type: ignore[assignment]
    assert sorted(job_id.decode() for job_id in waiting) == sorted(ids)
