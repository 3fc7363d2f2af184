"""Paid calls: begun under the fence, seen through, and repeated only when none is under way."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from house import StandIn
from store_kit import CHARGE, accepted, look

from mediaq.errors import FenceLost, JobFailed, OnRecord
from mediaq.model import Announcement, Job, JobStatus, Settled
from mediaq.pipelines import metered
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.resources import Resources, open_resources
from mediaq.settings import Settings
from mediaq.store import attempts, operations

QUEUE = "text-analysis"
REQUEST = {"mediaItemId": "m", "text": "A fine day by the sea.", "languageCode": "en"}
OPERATION = "detectSentiment"


async def put(resources: Resources, *asked: str, queue: str = QUEUE, **request: Any) -> Job:
    """Puts a job on record, by default one of a single call."""
    names = asked or (OPERATION,)
    body = {**REQUEST, "operations": dict.fromkeys(names, True), **request}
    return await accepted(resources.store, type=queue, media_item_id="m", request=body, operations=names)


async def ignore(told: Announcement) -> None:
    """Nobody listens."""


def running(resources: Resources, job: Job) -> asyncio.Task[dict[str, Any]]:
    return asyncio.create_task(run_job(resources.tools, PIPELINES[job.type], job.id, ignore))


async def until_called(standin: StandIn) -> None:
    """Waits until a call has met the stand-in's fault, which is then used up."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=standin.url) as http:
        while (await http.get("/_standin/faults")).json()["faults"]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def until(resources: Resources, condition: str) -> None:
    """Waits until a condition holds on record."""
    async with asyncio.timeout(20):
        while not await resources.store.pool.fetchval(f"select {condition}"):  # noqa: ASYNC110 - nor has Postgres
            await asyncio.sleep(0.01)


async def until_settled(resources: Resources) -> None:
    await until(resources, "not exists (select from operation_runs where state = 'started')")


async def runs(resources: Resources) -> list[tuple[int, str, str | None]]:
    """Each run's fence, its state, and how sure its cost row is."""
    rows = await resources.store.pool.fetch(
        "select fence, state, certainty from operation_runs runs left join cost_entries on run_id = runs.id"
        " order by runs.id"
    )
    return [(row["fence"], row["state"], row["certainty"]) for row in rows]


@asynccontextmanager
async def held(resources: Resources, job: Job) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
    """Has what is written about a job wait while the block runs."""
    async with resources.store.transaction() as connection:
        await connection.execute("select from jobs where id = $1 for update", job.id)
        yield connection


async def until_held(resources: Resources) -> None:
    await until(resources, "exists (select from pg_locks where not granted)")


# Cut short


async def test_a_call_that_is_under_way_when_the_job_is_cancelled_is_seen_through(
    resources: Resources, standin: StandIn
) -> None:
    """The job ends at once and is handed back; the answer is kept, and asked for no second time."""
    standin.fault("DetectSentiment", "latency", seconds=1)
    job = await put(resources)
    attempt = running(resources, job)
    await until_called(standin)
    since = time.monotonic()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert time.monotonic() - since < 0.5
    handed_back = await look(resources.store, job)
    assert (handed_back.status, handed_back.attempts) == (JobStatus.WAITING, 0)
    assert await runs(resources) == [(1, "started", "possibly_billed")]
    await until_settled(resources)
    assert await runs(resources) == [(1, "succeeded", "billed")]
    assert (await running(resources, job))["sentiment"]["Sentiment"] == "POSITIVE"
    assert len(standin.calls()) == 1


@pytest.fixture
def hasty(overrides: dict[str, str]) -> None:
    """Gives an attempt half a second; to be named before what uses the settings."""
    overrides["MEDIAQ_QUEUES__TEXT_ANALYSIS__TIMEOUT"] = "1"


async def test_a_call_that_is_under_way_when_the_attempt_times_out_is_the_next_ones_result(
    hasty: None, resources: Resources, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "latency", seconds=1)
    job = await put(resources)
    with pytest.raises(JobFailed, match="took more than 1 s") as failure:
        await running(resources, job)
    assert failure.value.attempts_left == 2
    await until_settled(resources)
    assert "sentiment" in await running(resources, job)
    assert await runs(resources) == [(1, "succeeded", "billed")]
    assert len(standin.calls()) == 1


async def test_a_call_that_is_cut_before_it_is_made_is_not_made_and_costs_nothing(
    resources: Resources, standin: StandIn
) -> None:
    job = await put(resources, OPERATION)
    async with held(resources, job) as connection:
        attempt = running(resources, job)
        await until_held(resources)
        # Its start goes through, its call is held again.
        await connection.execute("commit; begin; lock table operation_runs in share mode")
        await until(resources, f"exists (select from jobs where id = '{job.id}' and status = 'active')")
        await until_held(resources)
        attempt.cancel()
        await asyncio.wait({attempt}, timeout=0.2)
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await until_settled(resources)
    assert await runs(resources) == [(1, "failed", None)]
    error = await resources.store.pool.fetchval("select error from operation_runs")
    assert error == "the call was on record and then not made"
    assert standin.calls() == []


# Paused


async def test_a_call_whose_record_is_old_by_the_time_it_stands_begins_again(
    resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metered, "FRESH", 0.3)
    job = await put(resources)
    async with resources.store.transaction() as connection:
        await connection.execute("lock table operation_runs in share mode")
        attempt = running(resources, job)
        await until_held(resources)
        await asyncio.sleep(0.5)
    await attempt
    assert await runs(resources) == [(1, "failed", None), (1, "succeeded", "billed")]
    assert len(standin.calls()) == 1


async def test_a_process_that_lost_its_job_while_its_record_grew_old_makes_no_call(
    resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metered, "FRESH", 0.3)
    job = await put(resources)
    async with resources.store.transaction() as connection:
        await connection.execute("lock table operation_runs in share mode")
        attempt = running(resources, job)
        await until_held(resources)
        # What the new owner does is not held up by that: it takes the fence only.
        taking = asyncio.create_task(attempts.start(resources.store, job.id, "another", 60))
        await asyncio.sleep(0.5)
    with pytest.raises(FenceLost):
        await attempt
    await taking
    assert await runs(resources) == [(1, "failed", None)]
    assert standin.calls() == []


# Two owners


async def test_a_late_answer_is_adopted_by_the_newer_owner_that_waits_for_it(
    resources: Resources, settings: Settings, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "latency", seconds=1.5)
    job = await put(resources)
    async with open_resources(settings) as other:
        older = running(resources, job)
        await until_called(standin)
        newer = running(other, job)
        assert (await newer)["sentiment"]["Sentiment"] == "POSITIVE"
        with pytest.raises(FenceLost):
            await older
    assert await runs(resources) == [(1, "succeeded", "billed")]
    assert len(standin.calls()) == 1
    ended = await look(resources.store, job)
    assert (ended.status, ended.attempts, ended.fence) == (JobStatus.COMPLETED, 1, 2)


async def test_a_call_of_a_dead_owner_is_repeated_only_after_its_deadline(
    resources: Resources, standin: StandIn
) -> None:
    job = await put(resources)
    dead = await attempts.start(resources.store, job.id, "dead", 60)
    assert dead is not None
    await operations.begin(resources.store, dead, "comprehend", OPERATION, estimate=CHARGE, seconds=1.5)
    await running(resources, job)
    assert await runs(resources) == [(1, "started", "possibly_billed"), (2, "succeeded", "billed")]
    assert await resources.store.pool.fetchval(
        "select second.started_at >= first.deadline from operation_runs first, operation_runs second"
        " where first.fence = 1 and second.fence = 2"
    )


async def test_an_answer_that_comes_after_all_deadlines_is_taken_and_the_call_not_repeated(
    resources: Resources, standin: StandIn
) -> None:
    """It comes while the newer owner waits for its second try."""
    standin.fault("DetectSentiment", "throttle", times=None)
    job = await put(resources)
    older = await attempts.start(resources.store, job.id, "older", 60)
    assert older is not None
    run = await operations.begin(
        resources.store, older, "comprehend", OPERATION, estimate=CHARGE, seconds=0.1
    )
    newer = running(resources, job)
    await until(resources, "exists (select from operation_runs where fence = 2 and state = 'failed')")
    await operations.settle(resources.store, run, Settled("late", CHARGE))
    assert await newer == {"sentiment": "late"}
    assert standin.billed() == []
    assert (await runs(resources))[0] == (1, "succeeded", "billed")


async def test_nothing_is_begun_for_an_operation_whose_result_is_on_record(resources: Resources) -> None:
    job = await put(resources)
    started = await attempts.start(resources.store, job.id, "worker", 60)
    assert started is not None
    run = await operations.begin(resources.store, started, "comprehend", OPERATION, estimate=CHARGE)
    await operations.settle(resources.store, run, Settled({"found": 1}, CHARGE))
    with pytest.raises(OnRecord) as known:
        await operations.begin(resources.store, started, "comprehend", OPERATION, estimate=CHARGE)
    assert known.value.result == {"found": 1}
    assert await runs(resources) == [(1, "succeeded", "billed")]


# Answers that are of no use


@pytest.fixture
async def senseless(overrides: dict[str, str], request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Has the settings, which are made after this, name a provider that always gives one answer."""
    content = json.dumps(request.param).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        overrides["MEDIAQ_EMBEDDING__PROVIDER"] = "openai"
        overrides["MEDIAQ_EMBEDDING__DIMENSIONS"] = "256"
        overrides["MEDIAQ_EMBEDDING__OPENAI_URL"] = f"http://127.0.0.1:{port}/v1"
        yield


UNREADABLE = {"model": "none"}
REFUSED_BY_POSTGRES = {"data": [{"embedding": []}], "usage": {"prompt_tokens": 3}}


@pytest.mark.parametrize(
    "senseless", [UNREADABLE, REFUSED_BY_POSTGRES], indirect=True, ids=["unread", "unwritten"]
)
async def test_an_answer_that_cannot_be_kept_stays_possibly_billed_and_says_why(
    senseless: None, resources: Resources
) -> None:
    job = await put(
        resources, "generateEmbedding", queue="embedding-generation", contentType="text", content="A day."
    )
    with pytest.raises(JobFailed, match="a fault in mediaq"):
        await running(resources, job)
    assert await runs(resources) == [(1, "unanswered", "possibly_billed")]
    error = await resources.store.pool.fetchval("select error from operation_runs")
    assert error.startswith("the answer was lost by a fault in mediaq (")


@pytest.fixture
async def dripping(overrides: dict[str, str]) -> AsyncIterator[None]:
    """Names a provider whose answer comes drop by drop, without an end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        over.set()

    over = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        overrides |= {
            "MEDIAQ_EMBEDDING__PROVIDER": "openai",
            "MEDIAQ_EMBEDDING__DIMENSIONS": "256",
            "MEDIAQ_EMBEDDING__OPENAI_URL": f"http://127.0.0.1:{port}/v1",
            "MEDIAQ_AWS__CALL_TIMEOUT": "0.5",
            "MEDIAQ_AWS__PROVIDER_PATIENCE": "0",
        }
        yield
        await over.wait()


async def test_a_call_takes_no_longer_than_it_may_however_its_answer_comes(
    dripping: None, resources: Resources
) -> None:
    """Others repeat it when that time is over."""
    job = await put(
        resources, "generateEmbedding", queue="embedding-generation", contentType="text", content="A day."
    )
    async with asyncio.timeout(3):
        with pytest.raises(JobFailed, match="OpenAI gave no answer"):
            await running(resources, job)
    assert await runs(resources) == [(1, "unanswered", "possibly_billed")]


# The lease


async def test_work_on_a_job_that_is_anothers_by_now_is_cancelled(
    short_lease: None, patient: None, resources: Resources, standin: StandIn
) -> None:
    """It hears of it by its lease, long before it would try again."""
    standin.fault("DetectSentiment", "throttle")
    job = await put(resources)
    attempt = running(resources, job)
    await until(resources, "exists (select from operation_runs where state = 'failed')")
    await attempts.start(resources.store, job.id, "another", 60)
    async with asyncio.timeout(5):
        with pytest.raises(FenceLost):
            await attempt
    assert not [task for task in asyncio.all_tasks() if task.get_name() == OPERATION]


async def test_a_job_that_ends_while_its_lease_is_being_renewed_ends_well(
    short_lease: None, resources: Resources, standin: StandIn
) -> None:
    """The renewal is on its way, and waits, when the last answer comes."""
    standin.fault("DetectSentiment", "latency", seconds=0.5)
    job = await put(resources)
    attempt = running(resources, job)
    await until_called(standin)
    async with held(resources, job):
        await until_held(resources)
        await asyncio.sleep(0.7)
    assert "sentiment" in await attempt
    assert (await look(resources.store, job)).status is JobStatus.COMPLETED


@pytest.fixture
def short_lease(overrides: dict[str, str]) -> None:
    """Has leases renewed ten times a second; to be named before what uses the settings."""
    overrides["MEDIAQ_WORKER__LEASE"] = "0.4"


@pytest.fixture
def patient(overrides: dict[str, str]) -> None:
    """Has operations wait for long before they try again; likewise."""
    overrides |= {"MEDIAQ_AWS__FIRST_WAIT": "15", "MEDIAQ_AWS__PROVIDER_PATIENCE": "100"}
