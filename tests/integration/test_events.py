"""Callers hear of their jobs as things happen, and of every end for certain, whatever is lost on the way."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
from house import OTHER, USER, Api, serving, token_for, work
from listening import Stream, listening
from store_kit import accepted, completed, failed, lapse, started

from mediaq.announcements import announce
from mediaq.embedded import ports
from mediaq.model import Announcement, Job, JobEvent, JobStatus, Progress, TaskStatus
from mediaq.queue import keys
from mediaq.reconciler import Reconciler
from mediaq.resources import Resources
from mediaq.service.mailbox import MOST, Mailbox
from mediaq.settings import Settings
from mediaq.store import attempts
from mediaq.store.attempts import Ending

TYPE = "image-processing"
OPERATIONS = ("detectLabels", "detectText")
TEXT = {
    "mediaItemId": "m",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}
ALL = "/api/events"


@pytest.fixture
def overrides() -> dict[str, str]:
    """Nothing that is not told is found within a test that does not look for it."""
    return {"MEDIAQ_EVENTS__LOOK": "1000", "MEDIAQ_UPKEEP__INTERVAL": "1000"}


@pytest.fixture
def watchful(overrides: dict[str, str]) -> None:
    """Has what was not told found soon; to be named before what uses the settings."""
    overrides["MEDIAQ_EVENTS__LOOK"] = "0.1"


def path_of(job: Job) -> str:
    return f"/api/queues/{job.type}/{job.id}/events"


def listen(
    api: Api, path: str, user: str = USER, last_id: str = "", **claims: Any
) -> AbstractAsyncContextManager[Stream]:
    return listening(api.http, path, api.as_user(user, **claims), last_id)


async def begun(resources: Resources, user: str = USER) -> Job:
    """A job of the user's that a worker has begun."""
    job = await accepted(resources.store, user_id=user, media_item_id=f"of {user}")
    return await started(resources.store, job)


async def move(resources: Resources, job: Job, operation: str = OPERATIONS[0]) -> None:
    """Moves a job on, on record, and tells of it."""
    progress = Progress.of(OPERATIONS).having(operation, TaskStatus.COMPLETED)
    await attempts.write_progress(resources.store, job, progress)
    await tell(resources, job, JobEvent.PROGRESS, progress.as_json())


async def tell(resources: Resources, job: Job, event: JobEvent, progress: Any = None) -> None:
    await announce(resources.redis, Announcement(job, event, progress))


async def close(resources: Resources, job: Job, ending: Ending | None = None) -> None:
    """Closes a job on record and tells nobody."""
    await attempts.end(resources.store, job, ending or completed())


async def finish(resources: Resources, job: Job, ending: Ending | None = None) -> None:
    ending = ending or completed()
    await close(resources, job, ending)
    await tell(resources, job, JobEvent(ending.status))


async def test_a_job_is_followed_from_its_acceptance_to_its_end(api: Api) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    async with listen(api, f"/api/queues/text-analysis/{job_id}/events") as stream:
        first = await stream.next()
        running = asyncio.create_task(work(api.settings, "text-analysis", most=1))
        events = await stream.rest()
        await running
    assert first.event == "progress"
    assert first.data == {
        "id": job_id,
        "jobType": "text-analysis",
        "current": 0,
        "total": 1,
        "message": "waiting",
        "subTasks": {"detectSentiment": {"status": "pending"}},
    }
    *_, last, end = events
    assert (last.event, last.data["current"]) == ("progress", 1)
    assert {event.event for event in events[:-1]} == {"progress"}
    job = await api.job("text-analysis", job_id)
    assert end.event == "completed"
    assert end.data == {
        name: job[name] for name in ("id", "jobType", "status", "returnvalue", "failedReason", "attemptsMade")
    }
    headers = stream.response.headers
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert stream.retry == 3000


async def test_a_job_that_is_closed_answers_with_its_end_at_once(api: Api, resources: Resources) -> None:
    job = await begun(resources)
    await close(resources, job, failed("no such object"))
    async with listen(api, path_of(job)) as stream:
        [end] = await stream.rest()
    assert (end.event, end.data["status"]) == ("failed", "failed")
    assert end.data["failedReason"] == "no such object"
    async with listen(api, path_of(job), last_id=end.id) as stream:
        assert [event.event for event in await stream.rest()] == ["failed"]


async def test_a_callers_stream_has_the_events_of_all_their_jobs_and_of_no_others(
    api: Api, resources: Resources
) -> None:
    mine, mine_too, others = await begun(resources), await begun(resources), await begun(resources, OTHER)
    async with listen(api, ALL) as stream:
        await stream.opened()
        for job in (others, mine, mine_too):
            await move(resources, job)
            await finish(resources, job)
        events = [await stream.next() for _ in range(4)]
    told = [(event.data["id"], event.event) for event in events]
    assert told == [
        *((mine.id, "progress"), (mine.id, "completed")),
        *((mine_too.id, "progress"), (mine_too.id, "completed")),
    ]


@pytest.mark.parametrize(
    ("query", "heard"), [("", []), ("?all=true", [USER, OTHER]), (f"?userId={OTHER}", [OTHER])]
)
async def test_an_admin_hears_of_their_own_jobs_of_a_users_or_of_everybodys(
    api: Api, resources: Resources, query: str, heard: list[str]
) -> None:
    jobs = {user: await begun(resources, user) for user in (USER, OTHER, "admin-1")}
    async with listen(api, ALL + query, "admin-1", admin=True) as stream:
        await stream.opened()
        for job in jobs.values():
            await finish(resources, job)
        wanted = [jobs[user].id for user in heard or ["admin-1"]]
        assert [(await stream.next()).data["id"] for _ in wanted] == wanted


JOB_PATH = "/api/queues/image-processing/{id}/events"
REFUSED: list[tuple[str, str, int, str | None]] = [
    ("/api/queues/no-such-type/{id}/events", USER, 404, None),
    ("/api/queues/text-analysis/{id}/events", USER, 404, None),
    ("/api/queues/image-processing/unknown/events", USER, 404, None),
    ("/api/queues/image-processing/a%00b/events", USER, 404, None),
    (JOB_PATH, OTHER, 403, None),
    (f"{JOB_PATH}?all=true", USER, 422, "all"),
    ("/api/events?all=true", USER, 403, "all"),
    (f"/api/events?userId={OTHER}", USER, 403, "userId"),
    ("/api/events?all=maybe", USER, 422, "all"),
    ("/api/events?userId=", USER, 422, "userId"),
    # Nobody is called so; asked for, it would keep Postgres from answering for all who listen.
    ("/api/events?userId=a%00b", "admin", 422, "userId"),
    ("/api/events?since=now", USER, 422, "since"),
    (f"/api/events?all=true&userId={USER}", "admin", 422, "all"),
]


async def test_what_cannot_be_listened_to_is_refused_before_the_stream_begins(
    api: Api, resources: Resources
) -> None:
    job = await begun(resources)
    answers = [
        await api.http.get(path.format(id=job.id), headers=api.as_user(user, admin=user == "admin"))
        for path, user, _, _ in REFUSED
    ]
    told = [(answer.status_code, answer.json().get("field")) for answer in answers]
    assert told == [(status, field) for _, _, status, field in REFUSED]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


async def test_nobody_listens_without_a_good_token(api: Api) -> None:
    forged = {"Authorization": f"Bearer {token_for(USER, secret='x' * 40)}"}
    for path in (ALL, JOB_PATH):
        for headers in ({}, forged):
            answer = await api.http.get(path, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_an_id_that_was_never_sent_is_refused(api: Api) -> None:
    for last_id in ("x", "1", "1-", "-1", "1-1-1", "1-\N{ARABIC-INDIC DIGIT ONE}", "9" * 30 + "-0"):
        headers = httpx.Headers(api.as_user(USER), encoding="utf-8")
        headers["Last-Event-ID"] = last_id
        answer = await api.http.get(ALL, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


@pytest.mark.parametrize("last_id", ["999999999999999-9999999999999999999", "0-0"])
async def test_an_id_of_any_time_is_taken(api: Api, resources: Resources, last_id: str) -> None:
    job = await begun(resources)
    async with listen(api, ALL, last_id=last_id) as stream:
        await stream.opened()
        await finish(resources, job)
        assert (await stream.until("completed"))[-1].data["id"] == job.id


# Resuming


async def test_a_listener_that_was_cut_off_gets_what_it_missed_once_and_in_order(
    api: Api, resources: Resources
) -> None:
    job, ended, other = await begun(resources), await begun(resources), await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
        await finish(resources, ended)
        await move(resources, job)
        seen = await stream.until("progress")
    await move(resources, job, OPERATIONS[1])
    await finish(resources, other)
    await tell(resources, job, JobEvent.STALLED)
    async with listen(api, ALL, last_id=seen[-1].id) as stream:
        events = await stream.until("stalled")
        await finish(resources, job)
        events += await stream.until("completed")
    assert [(event.data["id"], event.event) for event in events] == [
        *((job.id, "progress"), (other.id, "completed"), (job.id, "stalled"), (job.id, "completed"))
    ]
    assert events[0].data["message"] == "detectText: completed"
    assert [event.id for event in events] == sorted({event.id for event in events})


async def test_a_job_is_followed_on_from_the_last_event(api: Api, resources: Resources) -> None:
    job = await begun(resources)
    async with listen(api, path_of(job)) as stream:
        await stream.next()
        await move(resources, job)
        seen = await stream.next()
    await tell(resources, job, JobEvent.STALLED)
    async with listen(api, path_of(job), last_id=seen.id) as stream:
        assert (await stream.next()).event == "stalled"
        await finish(resources, job)
        assert [event.event for event in await stream.rest()] == ["completed"]


async def test_a_stream_that_was_cut_off_before_its_first_event_is_resumed(
    api: Api, resources: Resources
) -> None:
    job = await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
    await finish(resources, job)
    async with listen(api, ALL, last_id=stream.last_id) as resumed:
        assert (await resumed.next()).data["id"] == job.id


@pytest.mark.parametrize("lost", ["flushed", "told in vain"])
async def test_what_the_stream_has_lost_is_resumed_from_the_record(
    api: Api, resources: Resources, lost: str
) -> None:
    """In another process, which has not heard of it either."""
    first, second = await begun(resources), await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
        await move(resources, first)
        seen = await stream.next()
    await move(resources, second, OPERATIONS[1])
    if lost == "flushed":
        await finish(resources, first)
        await resources.redis.flushall()
    else:
        await close(resources, first)
    async with another(api) as other, listen(other, ALL, last_id=seen.id) as stream:
        end, progress = await stream.next(), await stream.next()
        await finish(resources, second)
        last = await stream.next()
    assert (end.event, end.data["id"]) == ("completed", first.id)
    assert (progress.event, progress.data["id"]) == ("progress", second.id)
    assert progress.data["message"] == "detectText: completed"
    assert (last.event, last.data["id"]) == ("completed", second.id)


async def test_a_job_whose_events_are_lost_is_resumed_with_its_progress(
    api: Api, resources: Resources
) -> None:
    job = await begun(resources)
    async with listen(api, path_of(job)) as stream:
        seen = await stream.next()
    await move(resources, job, OPERATIONS[1])
    await resources.redis.flushall()
    async with another(api) as other, listen(other, path_of(job), last_id=seen.id) as stream:
        assert (await stream.next()).data["message"] == "detectText: completed"


async def test_many_ends_are_resumed_from_the_record(api: Api, resources: Resources) -> None:
    """More than one query takes."""
    job = await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
    await close(resources, job)
    await resources.store.pool.execute(
        "insert into jobs (id, type, user_id, media_item_id, request, progress, max_attempts, status,"
        "                  finished_at)"
        " select id || '-' || n, type, user_id, media_item_id, request, progress, max_attempts, status,"
        "        finished_at - n / 50 * interval '1 ms' from jobs, generate_series(1, 250) as n"
    )
    async with listen(api, ALL, last_id=stream.last_id) as resumed:
        ids = {(await resumed.next()).data["id"] for _ in range(251)}
    assert len(ids) == 251


@asynccontextmanager
async def another(api: Api) -> AsyncIterator[Api]:
    """Another process of the service, as it were, begun now."""
    async with serving(api.settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield attrs.evolve(api, http=http)


# Ends are certain


@pytest.mark.parametrize("path", [path_of, lambda _: ALL])
async def test_an_end_that_nobody_told_of_is_heard_of(
    watchful: None, api: Api, resources: Resources, path: Any
) -> None:
    job, never = await begun(resources), await begun(resources)
    async with listen(api, path(job)) as stream:
        await stream.opened()
        await close(resources, job)
        events = await stream.until("completed")
        assert events[-1].data["id"] == job.id
        # Told late, it is not told again.
        await tell(resources, job, JobEvent.COMPLETED)
        if path is not path_of:
            await finish(resources, never)
            assert (await stream.next()).data["id"] == never.id


async def test_an_end_that_redis_lost_is_heard_of_by_everyone(
    watchful: None, api: Api, resources: Resources
) -> None:
    jobs = [await begun(resources) for _ in range(3)]
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(listen(api, path_of(job))) for job in jobs for _ in range(2)
        ]
        for stream in streams:
            await stream.next()
        await resources.redis.flushall()
        for job in jobs:
            await close(resources, job)
        await resources.redis.flushall()
        ends = [(await stream.rest())[-1] for stream in streams]
        assert [end.data["id"] for end in ends] == [job.id for job in jobs for _ in range(2)]


async def test_after_redis_was_emptied_events_go_on(api: Api, resources: Resources) -> None:
    job = await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
        await move(resources, job)
        await stream.next()
        await resources.redis.flushall()
        await finish(resources, job)
        assert (await stream.next()).event == "completed"


async def test_a_stream_of_another_server_is_followed_although_its_clock_is_behind(
    api: Api, resources: Resources
) -> None:
    job, job_too = await begun(resources), await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
        await finish(resources, job)
        await stream.next()
        await resources.redis.delete(keys.EVENTS)
        fields: dict[Any, Any] = {
            "job": job_too.id,
            "queue": TYPE,
            "share": USER,
            "event": "stalled",
            "data": "",
        }
        await resources.redis.xadd(keys.EVENTS, fields, id="1000-0")
        # What was told there before it is noticed is lost, but for ends; the next is heard.
        await close(resources, job_too)
        assert (await stream.next()).data["id"] == job_too.id


async def test_a_job_that_is_deleted_ends_its_stream(watchful: None, api: Api, resources: Resources) -> None:
    job = await begun(resources)
    async with listen(api, path_of(job)) as stream:
        await stream.next()
        await resources.store.pool.execute("delete from jobs")
        assert await stream.rest() == []


async def test_two_services_tell_the_same(api: Api, resources: Resources) -> None:
    job = await begun(resources)
    async with another(api) as other, listen(api, ALL) as here, listen(other, ALL) as there:
        await here.opened()
        await there.opened()
        await move(resources, job)
        await finish(resources, job)
        told = [[await stream.next(), await stream.next()] for stream in (here, there)]
    assert told[0] == told[1]


async def make_round(resources: Resources) -> None:
    """Compares what is open with Redis, in the place of the service that would do it some day."""
    await resources.store.pool.execute("delete from leases")
    await Reconciler(resources, "of the test").make_round()


async def test_a_job_that_the_reconciler_closes_is_told_of(api: Api, resources: Resources) -> None:
    job = await accepted(resources.store, user_id=USER)
    await resources.store.pool.execute("update jobs set accepted_at = accepted_at - interval '3 s'")
    await resources.redis.hset(keys.job(job.id), mapping={"status": "canceled", "origin": TYPE})
    async with listen(api, path_of(job)) as stream:
        await stream.next()
        await make_round(resources)
        [end] = await stream.rest()
    assert (end.event, end.data["failedReason"]) == ("failed", "cancelled")


async def test_a_job_whose_worker_died_is_told_of_as_stalled(api: Api, resources: Resources) -> None:
    job = await begun(resources)
    await resources.store.pool.execute("update jobs set accepted_at = accepted_at - interval '3 s'")
    await lapse(resources.store, job)
    async with listen(api, path_of(job)) as stream:
        await stream.next()
        await make_round(resources)
        stalled = await stream.next()
    assert (stalled.event, stalled.data) == ("stalled", {"id": job.id, "jobType": TYPE})


async def test_what_is_told_after_a_jobs_end_as_of_before_is_not_heard(
    watchful: None, api: Api, resources: Resources
) -> None:
    job, other = await begun(resources), await begun(resources)
    async with listen(api, ALL) as stream:
        await stream.opened()
        await close(resources, job)
        await stream.until("completed")
        await tell(resources, job, JobEvent.COMPLETED, job.progress)
        await tell(resources, job, JobEvent.STALLED)
        await finish(resources, other)
        assert (await stream.next()).data["id"] == other.id


# Listeners and the service


@pytest.fixture
def lively(overrides: dict[str, str]) -> None:
    """Has heartbeats come often; to be named before what uses the settings."""
    overrides["MEDIAQ_EVENTS__HEARTBEAT"] = "0.1"


async def test_a_heartbeat_keeps_a_silent_stream_open(lively: None, api: Api, resources: Resources) -> None:
    job = await begun(resources)
    async with listen(api, path_of(job)) as stream:
        await stream.next()
        async with asyncio.timeout(5):
            while len(stream.comments) < 3:
                await stream.opened()
        await finish(resources, job)
        assert [event.event for event in await stream.rest()] == ["completed"]


async def test_open_streams_end_when_the_service_stops(settings: Settings, resources: Resources) -> None:
    job = await begun(resources)
    headers = {"Authorization": f"Bearer {token_for(USER)}"}
    server = serving(settings)
    url = await server.__aenter__()
    async with httpx.AsyncClient(base_url=url) as http, AsyncExitStack() as stack:
        paths = (path_of(job), ALL)
        streams = [await stack.enter_async_context(listening(http, path, headers)) for path in paths]
        for stream in streams:
            await stream.opened()
        async with asyncio.timeout(5):
            await server.__aexit__()
        assert "completed" not in [event.event for stream in streams for event in await stream.rest()]


async def test_a_service_with_open_streams_exits_soon_after_it_is_asked_to(
    settings: Settings, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.free_port()
    monkeypatch.setenv("MEDIAQ_SERVICE__PORT", str(port))
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token_for(USER)}"}
    job = await begun(resources)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "mediaq.cli", "serve")
    try:
        async with asyncio.timeout(30):
            while not await ports.answering(f"{url}/readyz"):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.05)
        async with httpx.AsyncClient(base_url=url) as http, AsyncExitStack() as stack:
            paths = (path_of(job), ALL)
            streams = [await stack.enter_async_context(listening(http, path, headers)) for path in paths]
            for stream in streams:
                await stream.opened()
            process.terminate()
            for stream in streams:
                await stream.rest(within=3)
            async with asyncio.timeout(5):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# As uvicorn's and the kernel's buffers hold it: what is sent to one who reads nothing has to go beyond them.
LARGE = {"labels": ["x" * 400_000]}


@pytest.fixture
def strict(overrides: dict[str, str]) -> None:
    """Has clients who take nothing cut off soon; to be named before what uses the settings."""
    overrides["MEDIAQ_EVENTS__PATIENCE"] = "0.5"


async def test_a_listener_that_does_not_read_holds_nobody_up_and_is_cut_off(
    strict: None, api: Api, resources: Resources
) -> None:
    jobs = [await begun(resources) for _ in range(30)]
    address = api.http.base_url
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=1)
    token = api.as_user(USER)["Authorization"]
    writer.write(f"GET {ALL} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    async with listen(api, ALL) as stream:
        await stream.opened()
        ends = []
        for job in jobs:
            await finish(resources, job, Ending(JobStatus.COMPLETED, LARGE))
            ends.append((await stream.until("completed", within=5))[-1])
        assert [end.data["id"] for end in ends] == [job.id for job in jobs]
    async with asyncio.timeout(20):
        got = len(await reader.read(-1))
    writer.close()
    assert got < len(jobs) * 400_000


async def test_of_progress_that_waits_for_a_listener_only_the_latest_is_sent() -> None:
    mailbox = Mailbox()
    for number in range(1000):
        mailbox.put(("a", "progress"), b"progress %d of a\n" % number)
        mailbox.put(("b", "progress"), b"progress %d of b\n" % number)
        mailbox.put(("end", number), b".")
    mailbox.end()
    sent = await mailbox.take()
    assert sent == b"." * 999 + b"progress 999 of a\nprogress 999 of b\n."
    assert await mailbox.take() == b""


async def test_a_listener_that_has_fallen_too_far_behind_is_cut_off_and_costs_nothing_more() -> None:
    mailbox = Mailbox()
    chunk = b"x" * (MOST // 4)
    for number in range(5):
        mailbox.put(number, chunk)
    assert mailbox.ended
    mailbox.put("later", chunk)
    assert await mailbox.take() == b""


async def test_one_event_may_be_larger_than_what_may_wait() -> None:
    mailbox = Mailbox()
    mailbox.put("large", b"x" * (2 * MOST))
    assert len(await mailbox.take()) == 2 * MOST
    assert not mailbox.ended
