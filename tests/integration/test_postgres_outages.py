"""A Postgres that goes away while jobs wait or run: workers wait for it, and nothing is used up or lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cuttable import Cuttable
from house import Api, StandIn, work

from mediaq.resources import Resources
from mediaq.settings import Settings

TEXT = {
    "mediaItemId": "m",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}


@pytest.fixture
async def link(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cuttable]:
    """The workers' way to Postgres; the service has its own."""
    url = urlsplit(settings.database.url)
    async with Cuttable(url.hostname or "", url.port or 0) as cuttable:
        around = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{cuttable.port}"))
        monkeypatch.setenv("DATABASE_URL", around.geturl())
        yield cuttable


async def until(resources: Resources, condition: str) -> None:
    """Waits until a condition holds on record."""
    async with asyncio.timeout(20):
        while not await resources.store.pool.fetchval(f"select {condition}"):  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.02)


async def until_called(standin: StandIn) -> None:
    """Waits until a call has met the stand-in's fault, which is then used up."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=standin.url) as http:
        while (await http.get("/_standin/faults")).json()["faults"]:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)


async def until_started_in_rq(resources: Resources, job_id: str) -> None:
    async with asyncio.timeout(20):
        while await resources.redis.hget(f"rq:job:{job_id}", "status") != b"started":  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)


async def ended(api: Api, resources: Resources, job_id: str) -> dict[str, Any]:
    """The job as it is shown, with how many deaths of workers it counts."""
    deaths = await resources.store.pool.fetchval("select deaths from jobs where id = $1", job_id)
    return {**await api.job("text-analysis", job_id), "deaths": deaths}


async def test_a_worker_that_meets_no_postgres_waits_for_it_and_starts_the_job(
    api: Api, resources: Resources, link: Cuttable, standin: StandIn
) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    await link.cut()
    working = asyncio.create_task(work(api.settings, "text-analysis", most=1))
    await until_started_in_rq(resources, job_id)
    await asyncio.wait({working}, timeout=2)
    await link.mend()
    await working
    job = await ended(api, resources, job_id)
    assert (job["status"], job["attemptsMade"], job["deaths"]) == ("completed", 1, 0)


@pytest.mark.parametrize("answer", ["latency", "unavailable"], ids=["a result", "an error"])
async def test_an_answer_that_arrives_while_postgres_is_away_is_put_on_record_when_it_is_back(
    api: Api, resources: Resources, link: Cuttable, standin: StandIn, answer: str
) -> None:
    """What AWS billed is billed once; what it refused is not possibly billed."""
    standin.fault("DetectSentiment", answer, seconds=2)
    job_id = await api.accept("text-analysis", TEXT)
    working = asyncio.create_task(work(api.settings, "text-analysis", most=1))
    await until_called(standin)
    await link.cut()
    await asyncio.wait({working}, timeout=3)
    assert len(standin.calls()) == 1
    await link.mend()
    await working
    job = await ended(api, resources, job_id)
    assert (job["status"], job["attemptsMade"], job["deaths"]) == ("completed", 1, 0)
    assert [cost["certainty"] for cost in job["costs"]] == ["billed"]
    assert len(standin.billed()) == 1


async def test_an_attempt_that_an_outage_cut_off_goes_on_as_the_same_and_counts_as_no_death(
    api: Api, resources: Resources, link: Cuttable, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call cannot be put on record, and so is not made until it can."""
    monkeypatch.setenv("MEDIAQ_AWS__FIRST_WAIT", "2")
    standin.fault("DetectSentiment", "unavailable")
    job_id = await api.accept("text-analysis", TEXT)
    working = asyncio.create_task(work(api.settings, "text-analysis", most=1))
    await until(resources, "exists (select 1 from operation_runs where state = 'failed')")
    await link.cut()
    await asyncio.wait({working}, timeout=6)
    await link.mend()
    await working
    job = await ended(api, resources, job_id)
    assert (job["status"], job["attemptsMade"], job["deaths"]) == ("completed", 1, 0)
    assert [cost["certainty"] for cost in job["costs"]] == ["billed"]
    assert len(standin.billed()) == 1
