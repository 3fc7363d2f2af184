"""Workers whose servers are away: they claim no more than they hold, wait parked, and go on by themselves."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from cuttable import Cuttable
from house import Api, StandIn, work
from programs import running
from redis import Redis
from rq import Queue as RQQueue

from mediaq.queue import keys
from mediaq.resources import Resources
from mediaq.settings import Settings

pytest_plugins = ["program_fixtures"]

QUEUE = "text-analysis"
SLOTS, JOBS = 2, 8


def text(number: int = 0) -> dict[str, object]:
    return {
        "mediaItemId": f"note-{number}",
        "text": "A fine day by the sea.",
        "languageCode": "en",
        "operations": {"detectSentiment": True},
    }


@asynccontextmanager
async def leading_to(url: str) -> AsyncIterator[tuple[Cuttable, str]]:
    """A way to a server that can be cut, and the server's URL by it."""
    parts = urlsplit(url)
    async with Cuttable(parts.hostname or "", parts.port or 0) as way:
        yield way, parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{way.port}")).geturl()


@pytest.fixture(autouse=True)
def each_paid(overrides: dict[str, str]) -> None:
    """Has each of the jobs, which all ask the same, make calls of its own."""
    overrides["MEDIAQ_REUSE__ENABLED"] = "false"


@pytest.fixture
def few(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a worker of few slots."""
    return {**environment, "MEDIAQ_CONCURRENCY": f"{QUEUE}={SLOTS},other=1"}


async def statuses(resources: Resources) -> Counter[str]:
    rows = await resources.store.pool.fetch("select status, count(*) from jobs group by 1")
    return Counter({row["status"]: row["count"] for row in rows})


async def until_completed(resources: Resources, number: int, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while (await statuses(resources))["completed"] < number:  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.05)


async def until_waiting(resources: Resources, number: int) -> None:
    """Waits until so many jobs are left in the queue."""
    async with asyncio.timeout(20):
        while await resources.redis.llen(keys.queue(QUEUE)) > number:  # noqa: ASYNC110 - nor has Redis
            await asyncio.sleep(0.02)


async def until_called(standin: StandIn) -> None:
    """Waits until a call has met the stand-in's fault, which is then used up."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=standin.url) as http:
        while (await http.get("/_standin/faults")).json()["faults"]:  # noqa: ASYNC110 - nor has the stand-in
            await asyncio.sleep(0.02)


async def assert_nothing_used_up(resources: Resources) -> None:
    rows = await resources.store.pool.fetch("select status, attempts, deaths from jobs")
    assert {tuple(row) for row in rows} == {("completed", 1, 0)}


async def until_foreign_job_ends(settings: Settings) -> None:
    """Has a job of another queue run."""

    def run() -> None:
        with Redis.from_url(settings.redis.url) as redis:
            job = RQQueue("other", connection=redis).enqueue("platform.node")
            while job.get_status(refresh=True) != "finished":
                assert not job.is_failed, job.exc_info
                time.sleep(0.02)

    async with asyncio.timeout(10):
        await asyncio.to_thread(run)


@pytest.mark.parametrize("away", ["postgres", "provider"])
async def test_a_worker_takes_no_more_jobs_of_a_server_that_is_away_and_goes_on_when_it_is_back(
    api: Api, resources: Resources, standin: StandIn, few: dict[str, str], away: str
) -> None:
    """Jobs of other queues run on meanwhile; no attempt is used up, and no death is counted."""
    name = {"postgres": "DATABASE_URL", "provider": "AWS_ENDPOINT_URL"}[away]
    server = {"postgres": api.settings.database.url, "provider": standin.url}[away]
    given = {**few, "MEDIAQ_WORKER__FUNCTIONS": '["mediaq.tasks.*", "platform.node"]'}
    async with (
        leading_to(server) as (way, url),
        running({**given, name: url}, "mediaq", "worker", "-q", QUEUE, "-q", "other"),
    ):
        await api.accept(QUEUE, text())
        await until_completed(resources, 1)
        await way.cut()
        for number in range(JOBS):
            await api.accept(QUEUE, text(number))
        # It learns from the first one.
        await until_waiting(resources, JOBS - 1)
        for _ in range(3):
            await asyncio.sleep(1)
            await until_foreign_job_ends(api.settings)
        assert await resources.redis.llen(keys.queue(QUEUE)) >= JOBS - 2 * SLOTS
        await way.mend()
        await until_completed(resources, JOBS + 1)
    await assert_nothing_used_up(resources)
    assert len(standin.billed()) == JOBS + 1


async def test_a_call_that_is_under_way_when_the_worker_is_asked_to_end_is_kept(
    api: Api, resources: Resources, standin: StandIn, few: dict[str, str]
) -> None:
    """Its job is handed back within the grace period, its answer comes at the very end."""
    standin.fault("DetectSentiment", "latency", seconds=2.6)
    await api.accept(QUEUE, text())
    async with running({**few, "MEDIAQ_WORKER__GRACE": "3"}, "mediaq", "worker", "-q", QUEUE) as worker:
        await until_called(standin)
        worker.terminate()
        async with asyncio.timeout(8):
            assert await worker.wait() == 0
    assert await statuses(resources) == {"waiting": 1}
    rows = await resources.store.pool.fetch(
        "select state, certainty from operation_runs runs join cost_entries on run_id = runs.id"
    )
    assert [tuple(row) for row in rows] == [("succeeded", "billed")]
    async with running(few, "mediaq", "worker", "-q", QUEUE):
        await until_completed(resources, 1)
    await assert_nothing_used_up(resources)
    assert len(standin.calls()) == 1


@pytest.fixture
def long_waits(overrides: dict[str, str]) -> None:
    """Waits of a second and more, and attempts of four seconds; to be named before `api`."""
    overrides |= {
        "MEDIAQ_AWS__FIRST_WAIT": "1",
        "MEDIAQ_AWS__LONGEST_WAIT": "1.5",
        "MEDIAQ_QUEUES__TEXT_ANALYSIS__TIMEOUT": "6",
    }


async def test_waits_are_parked_and_do_not_count_and_other_jobs_run_meanwhile(
    long_waits: None, api: Api, resources: Resources, standin: StandIn, few: dict[str, str]
) -> None:
    """Several operations of a job wait at once, for longer than its attempt may take."""
    operations = ("DetectSentiment", "DetectEntities", "DetectKeyPhrases")
    for operation in operations[1:]:
        standin.fault(operation, "throttle", times=4)
    names = {f"{operation[0].lower()}{operation[1:]}": True for operation in operations}
    waiting = await api.accept(QUEUE, {**text(), "operations": names})
    async with running({**few, "MEDIAQ_CONCURRENCY": f"{QUEUE}=1"}, "mediaq", "worker", "-q", QUEUE):
        await until_waiting(resources, 0)
        others = [await api.accept(QUEUE, text(number)) for number in range(1, 4)]
        for other in others:
            async with asyncio.timeout(10):
                while (await api.job(QUEUE, other))["status"] != "completed":  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.05)
        assert (await api.job(QUEUE, waiting))["status"] == "active"
        await until_completed(resources, 4)
    await assert_nothing_used_up(resources)


async def test_under_stock_workers_waits_count(long_waits: None, api: Api, standin: StandIn) -> None:
    standin.fault("DetectSentiment", "throttle", times=None)
    job_id = await api.accept(QUEUE, text())
    await work(api.settings, QUEUE, most=1)
    job = await api.job(QUEUE, job_id)
    assert (job["status"], job["attemptsMade"]) == ("delayed", 1)


async def test_a_read_that_is_given_up_during_an_outage_does_not_leave_the_gate_closed(
    resources: Resources,
) -> None:
    """Nobody would learn that Postgres is back."""

    async def fail() -> None:
        raise ConnectionRefusedError

    reading = asyncio.create_task(resources.store.link.outlast(fail))
    await resources.store.link.lost.wait()
    assert not resources.may_claim(QUEUE)
    assert resources.may_claim("other")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert resources.may_claim(QUEUE)
