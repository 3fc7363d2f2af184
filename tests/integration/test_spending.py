"""Budgets and limits as callers and workers meet them: over HTTP, by two services, with real content."""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from crossing import Crossing
from house import OTHER, USER, Api, StandIn, serving, token_for, work
from processes import kill_family

from mediaq.cli import cli
from mediaq.embedded import ports, samples
from mediaq.resources import Resources
from mediaq.service.shapes import Accepted, ProblemShown
from mediaq.settings import Settings, load_settings
from mediaq.store import budgets
from mediaq.store.budgets import Budget, Kind

IMAGES, VIDEOS, TEXTS = "image-processing", "video-processing", "text-analysis"
SENTENCE = "We had a wonderful day in Paris. "

Serve = Callable[..., Awaitable[Api]]


@pytest.fixture
async def serve(
    settings: Settings, bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Serve]:
    """Starts a service with more settings, which workers have from then on as well."""
    async with AsyncExitStack() as stack:

        async def start(**more: str) -> Api:
            for name, value in more.items():
                monkeypatch.setenv(f"MEDIAQ_{name}", value)
            loaded = load_settings()
            url = await stack.enter_async_context(serving(loaded))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            return Api(http, loaded, bucket, s3_url)

        yield start


def image(number: int = 0, cost_center: str = "lab") -> dict[str, Any]:
    """A job for $0.001."""
    return {
        "mediaItemId": f"m{number}",
        "s3Key": "a.jpg",
        "costCenter": cost_center,
        "operations": {"detectLabels": True},
    }


def text(**content: str) -> dict[str, Any]:
    return {"mediaItemId": "m", "languageCode": "en", "operations": {"detectSentiment": True}, **content}


def video(**more: Any) -> dict[str, Any]:
    operations = {"detectLabels": True, "generateThumbnails": True}
    return {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": operations, **more}


async def standing(resources: Resources) -> tuple[Decimal, Decimal]:
    """What is spent and reserved of the user's budget."""
    found = (await budgets.show(resources.store))[Budget(Kind.USER, USER)]
    return found.spent, found.reserved


# Budgets


async def test_the_answer_says_what_the_job_costs_at_most(api: Api, resources: Resources) -> None:
    answer = await api.post(TEXTS, text(text="a" * 1001))
    accepted = msgspec.json.decode(answer.content, type=Accepted)
    assert accepted.estimate == Decimal("0.0011")
    row = await resources.store.pool.fetchrow("select estimate, user_cap, cost_center_cap from jobs")
    assert row is not None
    assert tuple(row) == (Decimal("0.0011"), None, None)


@pytest.mark.parametrize(
    ("caps", "whose", "kind"),
    [
        ({"BUDGETS__USER": "0.0025"}, ("user", USER), "user"),
        ({"BUDGETS__USER": "9", "BUDGETS__USERS": f"{USER}=0.0025"}, ("user", USER), "user"),
        ({"BUDGETS__COST_CENTER": "0.0025"}, ("costCenter", "lab"), "cost center"),
        ({"BUDGETS__COST_CENTERS": "web=9,lab=0.0025"}, ("costCenter", "lab"), "cost center"),
    ],
)
async def test_a_job_over_budget_is_refused_with_the_figures(
    serve: Serve, resources: Resources, caps: dict[str, str], whose: tuple[str, str], kind: str
) -> None:
    api = await serve(**caps)
    for number in range(2):
        await api.accept(IMAGES, image(number))
    answer = await api.post(IMAGES, image(2))
    assert (answer.status_code, answer.headers["content-type"]) == (402, "application/problem+json")
    shown = msgspec.json.decode(answer.content, type=ProblemShown)
    assert ((shown.whose, shown.name), shown.budget) == (whose, Decimal("0.0025"))
    assert (shown.spent, shown.reserved, shown.estimate) == (Decimal(0), Decimal("0.002"), Decimal("0.001"))
    assert shown.error == (
        f"the budget of {kind} {whose[1]} for {shown.month} is $0.0025: $0 is spent, open jobs may cost "
        "$0.002, and this one $0.001; nothing was accepted"
    )
    assert await resources.store.pool.fetchval("select count(*) from jobs") == 2


async def test_caps_of_0_are_none_also_by_name(serve: Serve, resources: Resources) -> None:
    api = await serve(BUDGETS__USER="0.0001", BUDGETS__USERS=f"{USER}=0", BUDGETS__COST_CENTERS="lab=0")
    await api.accept(IMAGES, image())
    assert (await api.post(IMAGES, image(1), OTHER)).status_code == 402
    assert [budget.name for budget in await budgets.show(resources.store)] == [OTHER]


async def test_a_job_that_ends_cheaper_or_fails_leaves_room_for_the_next(
    serve: Serve, resources: Resources, standin: StandIn
) -> None:
    """The second asks the same and is answered from the first; the third has no image, and is not called."""
    api = await serve(BUDGETS__USER="0.0019")
    await api.upload("a.jpg", samples.draw_picture())
    assert (await api.run(IMAGES, image(0)))["status"] == "completed"
    assert await standing(resources) == (Decimal("0.001"), Decimal(0))
    assert (await api.post(IMAGES, image(1))).status_code == 402
    api = await serve(BUDGETS__USER="0.002")
    assert [cost["certainty"] for cost in (await api.run(IMAGES, image(1)))["costs"]] == ["reused"]
    assert (await api.run(IMAGES, {**image(2), "s3Key": "no such object"}))["status"] == "failed"
    assert await standing(resources) == (Decimal("0.001"), Decimal(0))
    assert len(standin.billed()) == 1


async def test_two_services_at_once_accept_exactly_what_the_budgets_hold(
    settings: Settings, resources: Resources
) -> None:
    """Budgets for 50 jobs, 10 a user and 10 a cost center, and 250 jobs, 10 of each user and cost center."""
    pairs = [(f"user-{user}", f"center-{center}") for user in range(5) for center in range(5)] * 10
    asked = [(user, image(number, center)) for number, (user, center) in enumerate(pairs)]
    random.Random(4).shuffle(asked)  # noqa: S311 - any order
    caps = {"BUDGETS__USER": "0.01", "BUDGETS__COST_CENTER": "0.01"}
    async with (
        running_services(2, caps) as urls,
        httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as http,
    ):

        async def post(url: str, user: str, body: dict[str, Any]) -> int:
            headers = {"Authorization": f"Bearer {token_for(user)}"}
            return (await http.post(f"{url}/api/queues/{IMAGES}", json=body, headers=headers)).status_code

        posts = (post(urls[number % 2], *job) for number, job in enumerate(asked))
        statuses = Counter(await asyncio.gather(*posts))
    assert statuses == {202: 50, 402: 200}
    for column in ("user_id", "cost_center"):
        rows = await resources.store.pool.fetch(f"select count(*) from jobs group by {column}")  # noqa: S608
        assert [row["count"] for row in rows] == [10] * 5
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert await resources.store.pool.fetchval(deadlocks) == 0


@asynccontextmanager
async def running_services(count: int, more: dict[str, str]) -> AsyncIterator[list[str]]:
    """Services in processes of their own, by the environment and more; gives their addresses."""
    environment = {**os.environ, **{f"MEDIAQ_{name}": value for name, value in more.items()}}
    listening = [ports.free_port() for _ in range(count)]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mediaq.cli", "serve"),
            env={**environment, "MEDIAQ_SERVICE__PORT": str(port)},
            stdout=sys.stderr,
            stderr=sys.stderr,
        )
        for port in listening
    ]
    try:
        urls = [f"http://127.0.0.1:{port}" for port in listening]
        async with asyncio.timeout(60):
            for url in urls:
                while not await ports.answering(f"{url}/readyz"):  # noqa: ASYNC110 - it has no event for it
                    await asyncio.sleep(0.05)
        yield urls
    finally:
        for process in processes:
            kill_family(process.pid)
            await process.wait()


async def test_what_changes_is_added_up_in_the_background(serve: Serve, resources: Resources) -> None:
    api = await serve(BUDGETS__USER="1", UPKEEP__INTERVAL="0.05")
    await api.accept(IMAGES, image())
    await resources.store.pool.execute("update jobs set status = 'failed'")
    async with asyncio.timeout(20):
        while await resources.store.pool.fetchval("select count(*) from budget_changes"):  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.02)
    assert await resources.store.pool.fetchval("select sum(reserved) from budgets") == 0


# What only the worker knows


async def test_a_video_that_is_longer_than_its_request_said_is_not_paid_for(
    serve: Serve, resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caps that the job was accepted under hold, whatever the worker's own settings say."""
    api = await serve(BUDGETS__USER="0.002")
    await api.upload("clip.mp4", samples.film_clip())
    job_id = await api.accept(VIDEOS, video(duration=0.5))
    monkeypatch.delenv("MEDIAQ_BUDGETS__USER")
    await work(api.settings, VIDEOS, most=1)
    job = await api.job(VIDEOS, job_id)
    assert (job["status"], job["attemptsMade"], job["cost"], job["possibleCost"]) == ("failed", 1, 0, 0)
    for operation in ("detectLabels", "generateThumbnails"):
        assert f"{operation}: the budget of user {USER} for " in job["failedReason"]
    assert "is $0.002: $0 is spent, open jobs may cost $0, and this one $0.005; " in job["failedReason"]
    assert standin.calls() == []
    assert await standing(resources) == (Decimal(0), Decimal(0))


async def test_a_video_that_is_shorter_than_assumed_frees_the_rest_and_is_paid_for(
    serve: Serve, resources: Resources, standin: StandIn
) -> None:
    """Of ten minutes that are assumed, the clip has a few seconds."""
    api = await serve(BUDGETS__USER="1.5")
    await api.upload("clip.mp4", samples.film_clip())
    job_id = await api.accept(VIDEOS, video())
    assert await standing(resources) == (Decimal(0), Decimal(1))
    await work(api.settings, VIDEOS, most=1)
    assert (await api.job(VIDEOS, job_id))["status"] == "completed"
    estimate = await resources.store.pool.fetchval("select estimate from jobs")
    spent = await resources.store.pool.fetchval("select sum(amount) from cost_entries")
    assert 0 < spent <= estimate < Decimal("0.02")
    assert await standing(resources) == (spent, Decimal(0))


@pytest.mark.parametrize(("cap", "status"), [("0.0033", "completed"), ("0.0032", "failed")])
async def test_a_text_in_s3_is_reserved_for_by_its_length_once_it_is_read(
    serve: Serve,
    resources: Resources,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    cap: str,
    status: str,
) -> None:
    """The service takes it for shorter than this worker does: 33 units, not 11."""
    await (await serve()).upload("note.txt", (SENTENCE * 100).encode())
    api = await serve(BUDGETS__USER=cap, TEXT__MOST_BYTES="500")
    job_id = await api.accept(TEXTS, text(s3Key="note.txt"))
    assert await standing(resources) == (Decimal(0), Decimal("0.0011"))
    monkeypatch.setenv("MEDIAQ_TEXT__MOST_BYTES", "10000")
    await work(api.settings, TEXTS, most=1)
    job = await api.job(TEXTS, job_id)
    assert job["status"] == status
    assert len(standin.billed()) == (status == "completed")
    assert await resources.store.pool.fetchval("select count(*) from operation_runs") == len(standin.billed())


async def test_what_was_paid_before_a_retry_needs_no_room_again(
    serve: Serve, resources: Resources, standin: StandIn
) -> None:
    """Of two operations, assumed to cost $0.0086 and found to cost $0.0033 each, one was paid for."""
    api = await serve(BUDGETS__USER="0.0087", TEXT__MOST_BYTES="3300")
    await api.upload("note.txt", (SENTENCE * 100).encode())
    standin.fault("DetectEntities", "error", code="InvalidRequestException", status=400)
    both = {"detectSentiment": True, "detectEntities": True}
    job = await api.run(TEXTS, text(s3Key="note.txt") | {"operations": both})
    assert (job["status"], await standing(resources)) == ("failed", (Decimal("0.0033"), Decimal(0)))

    answer = await api.http.post(f"{job['links']['self']}/retry", headers=api.as_user(USER))
    assert (answer.status_code, answer.json()["estimate"]) == (202, 0.0038)
    assert await standing(resources) == (Decimal("0.0033"), Decimal("0.0038"))
    await work(api.settings, TEXTS)
    again = await api.job(TEXTS, job["id"])
    assert again["status"] == "completed", again["failedReason"]
    assert await standing(resources) == (Decimal("0.0066"), Decimal(0))


async def test_a_text_in_s3_for_which_there_may_be_no_room_is_refused_at_once(serve: Serve) -> None:
    api = await serve(BUDGETS__USER="5")
    answer = await api.post(TEXTS, text(s3Key="note.txt"))
    assert answer.status_code == 402
    assert "and this one $13.8135" in answer.json()["error"]


# Limits


async def test_requests_beyond_the_rate_are_refused_in_all_services_together(serve: Serve) -> None:
    """One at once, and the next 50 s later; those of others are their own."""
    first, second = await serve(SERVICE__REQUESTS="0.02"), await serve()
    answers = await asyncio.gather(
        *(api.http.get("/api/queues", headers=api.as_user(USER)) for api in [first, second] * 3)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 429: 5}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "50"
    assert refused.json()["error"] == (
        "you may make 0.02 requests a second: this one is too early, and nothing was done"
    )
    assert (await first.http.get("/api/queues", headers=first.as_user(OTHER))).status_code == 200


async def test_a_request_that_comes_when_it_may_is_admitted_again(serve: Serve, resources: Resources) -> None:
    api = await serve(SERVICE__REQUESTS="0.02")
    assert (await api.post(IMAGES, image(0))).status_code == 202
    refused = await api.post(IMAGES, image(1))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "50")
    [key] = [key async for key in resources.redis.scan_iter("mediaq:requests:*")]
    at = float(await resources.redis.hget(key, "at") or 0)
    await resources.redis.hset(key, "at", str(at - 51))
    assert (await api.post(IMAGES, image(2))).status_code == 202
    assert (await api.post(IMAGES, image(3))).status_code == 429
    assert await resources.store.pool.fetchval("select count(*) from jobs") == 2


async def test_without_redis_requests_are_not_limited(
    serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs Redis refuses by itself, and what needs none is answered."""
    async with Crossing(settings.redis.url) as redis:
        monkeypatch.setenv("REDIS_URL", redis.url)
        api = await serve(SERVICE__REQUESTS="1", REDIS__TIMEOUT="0.5")
        redis.close()
        for _ in range(3):
            assert (
                await api.http.get(f"/api/queues/{IMAGES}/0123", headers=api.as_user(USER))
            ).status_code == 404
        answer = await api.post(IMAGES, image())
        assert (answer.status_code, answer.json()["error"]) == (
            503,
            "Redis cannot be reached; nothing was done, try again later",
        )


async def test_open_jobs_beyond_the_limit_are_refused(serve: Serve, resources: Resources) -> None:
    api = await serve(SERVICE__OPEN_JOBS="3")
    answers = await asyncio.gather(*(api.post(IMAGES, image(number)) for number in range(10)))
    assert Counter(answer.status_code for answer in answers) == {202: 3, 429: 7}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"] == (
        "3 of your jobs may be open at once, and are: wait until one has ended; nothing was accepted"
    )
    assert (await api.post(IMAGES, image(11), OTHER)).status_code == 202
    await resources.store.pool.execute("update jobs set status = 'failed' where user_id = $1", USER)
    assert (await api.post(IMAGES, image(12))).status_code == 202


async def test_a_repeated_request_is_answered_whatever_is_open(serve: Serve) -> None:
    api = await serve(SERVICE__OPEN_JOBS="1", BUDGETS__USER="0.001")
    key = {"Idempotency-Key": "key-1"}
    first, again = [await api.post(IMAGES, image(), **key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.json()["estimate"] == 0.001


# The command


async def test_the_command_shows_how_budgets_stand(serve: Serve, resources: Resources) -> None:
    api = await serve(BUDGETS__USER="0.5", BUDGETS__COST_CENTERS="lab=2")
    await api.accept(IMAGES, image())
    shown = await tell()
    assert [line.split()[:2] for line in shown.splitlines()[1:]] == [["user", USER], ["cost_center", "lab"]]
    [mine] = (await tell("--user", USER)).splitlines()[1:]
    month = (await budgets.show(resources.store))[Budget(Kind.USER, USER)].month
    assert mine.split() == ["user", USER, f"{month:%Y-%m}", "0.5", "0", "0.001"]
    [lab] = (await tell("--cost-center", "lab")).splitlines()[1:]
    assert lab.split()[3:] == ["2", "0", "0.001"]


async def tell(*options: str) -> str:
    told = await asyncio.to_thread(CliRunner().invoke, cli, ["budgets", *options])
    assert told.exit_code == 0, told.output
    return told.output
