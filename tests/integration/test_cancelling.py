"""DELETE of a job: closed on record, then out of Redis, then stopped; its paid calls stay on record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from crossing import Crossing
from house import OTHER, Api, StandIn, serving, work
from listening import listening
from route_kit import (
    CALL,
    PATH,
    QUEUE,
    cancel,
    item_status,
    retry,
    row,
    runs,
    status_in_rq,
    stock_worker,
    text,
    until,
    until_held,
    until_status,
    waiting,
)

from mediaq.errors import FenceLost
from mediaq.model import JobStatus
from mediaq.queue import keys
from mediaq.queue.retention import trim
from mediaq.reconciler import Reconciler
from mediaq.resources import Resources
from mediaq.settings import load_settings
from mediaq.store import attempts, interventions
from mediaq.store.jobs import Record
from mediaq.worker import working

# Seconds for which calls are held that are to be under way.
HELD = 1.0


@pytest.fixture
def overrides() -> dict[str, str]:
    # No service compares jobs with Redis but where a test says so.
    return {"MEDIAQ_REUSE__ENABLED": "false", "MEDIAQ_UPKEEP__INTERVAL": "1000"}


@pytest.fixture
async def waits(api: Api) -> str:
    """A job that waits."""
    return await api.accept(QUEUE, text())


async def cancelled(api: Api, job_id: str) -> dict[str, Any]:
    answer = await cancel(api, job_id)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert (shown["id"], shown["status"], shown["failedReason"]) == (job_id, "failed", "cancelled")
    assert shown["progress"]["message"] == "cancelled"
    return shown


# Where it stands


async def test_a_waiting_job_leaves_its_queue_and_no_worker_runs_it(
    api: Api, resources: Resources, standin: StandIn, waits: str
) -> None:
    await cancelled(api, waits)
    assert await waiting(resources) == []
    assert await status_in_rq(resources, waits) == "canceled"
    found = await row(resources, waits)
    assert (found["finished_at"] is not None, found["due_at"], found["lease_until"]) == (True, None, None)
    assert await item_status(resources) == "failed"
    await work(api.settings, QUEUE)
    assert standin.billed() == []


async def test_a_cancelled_job_stays_in_redis_as_long_as_a_failed_one(
    api: Api, resources: Resources, waits: str
) -> None:
    await cancelled(api, waits)
    keep = api.settings.queues.named(QUEUE).keep_failed
    assert 0 < await resources.redis.ttl(keys.job(waits)) <= keep
    await trim(resources.redis, QUEUE, 10)
    assert await resources.redis.zcard(keys.canceled(QUEUE)) == 1
    await resources.redis.delete(keys.job(waits))
    await trim(resources.redis, QUEUE, 10)
    assert await resources.redis.zcard(keys.canceled(QUEUE)) == 0


async def test_a_delayed_job_is_not_run_when_it_is_due(
    api: Api, resources: Resources, standin: StandIn, waits: str
) -> None:
    await attempts.start(resources.store, waits, "worker", 60)
    job = await api.job(QUEUE, waits)
    found = await attempts.start(resources.store, waits, "worker", 60)
    assert found is not None
    ending = attempts.Ending(JobStatus.DELAYED, {}, reason="busy", delay=30)
    await attempts.end(resources.store, found, ending)
    await cancelled(api, job["id"])
    assert (await row(resources, waits))["due_at"] is None
    await work(api.settings, QUEUE)
    assert standin.calls() == []


async def test_a_running_job_is_stopped_under_our_worker_its_call_on_record_and_its_slot_free(
    api: Api, resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job runs at a time: the next begins while the cancelled one's call is still under way."""
    monkeypatch.setenv("MEDIAQ_CONCURRENCY", f"{QUEUE}=1")
    standin.fault(CALL, "latency", seconds=HELD)
    first = await api.accept(QUEUE, text())
    second = await api.accept(QUEUE, text("other", "Another day, by the lake."))
    with working(load_settings()):
        await until_held(standin)
        await cancelled(api, first)
        await until_status(resources, second, "completed")
        assert await runs(resources, first) == [("started", "possibly_billed")]

        async def seen_through() -> bool:
            return await runs(resources, first) == [("succeeded", "billed")]

        await until(seen_through)
    assert await status_in_rq(resources, first) == "canceled"
    assert (await row(resources, first))["failed_reason"] == "cancelled"
    assert len(standin.billed()) == 2
    assert await resources.redis.zcard(keys.executions(first)) == 0


async def test_a_running_job_is_stopped_under_a_stock_worker_its_call_on_record_and_its_slot_free(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """RQ kills the process that runs it: what was under way is on record as possibly billed."""
    standin.fault(CALL, "latency", seconds=3)
    first = await api.accept(QUEUE, text())
    second = await api.accept(QUEUE, text("other", "Another day, by the lake."))
    async with stock_worker(api.settings):
        await until_held(standin)
        shown = await cancelled(api, first)

        async def begun() -> bool:
            return await status_in_rq(resources, second) == "started"

        await until(begun)
        assert standin.billed() == []

        async def both_ended() -> bool:
            return len(standin.billed()) == 2

        # Also the one that was cut off: it must not end in another test.
        await until(both_ended)
    assert await runs(resources, first) == [("started", "possibly_billed")]
    assert (shown["cost"], shown["possibleCost"] > 0) == (0, True)
    assert (await row(resources, first))["failed_reason"] == "cancelled"


@pytest.mark.parametrize("kind", ["ours", "stock"])
async def test_a_parked_job_is_stopped_and_begins_no_further_call(
    api: Api, resources: Resources, standin: StandIn, kind: str
) -> None:
    standin.fault(CALL, "throttle", times=None)
    job_id = await api.accept(QUEUE, text())

    @asynccontextmanager
    async def worker() -> AsyncIterator[None]:
        if kind == "stock":
            async with stock_worker(api.settings):
                yield
        else:
            with working(api.settings):
                yield

    async with worker():
        await until_status(resources, job_id, "active")

        async def refused() -> bool:
            return len(standin.calls()) > 1

        await until(refused)
        await cancelled(api, job_id)

        async def stopped() -> bool:
            return await resources.redis.zcard(keys.executions(job_id)) == 0

        await until(stopped, 5)
        made = len(standin.calls())
        standin.clear_faults()
        await api.accept(QUEUE, text("other", "Another day, by the lake."))
        await until(lambda: idle(resources))
    assert len(standin.calls()) == made + 1
    assert len(standin.billed()) == 1


async def idle(resources: Resources) -> bool:
    return not await resources.store.pool.fetchval(
        "select count(*) from jobs where status in ('waiting', 'active', 'delayed')"
    )


# How it is answered


async def test_cancelling_again_changes_nothing(api: Api, resources: Resources, waits: str) -> None:
    first = await cancelled(api, waits)
    assert await cancelled(api, waits) == first
    assert (await row(resources, waits))["fence"] == 1


async def test_a_job_that_has_ended_is_a_conflict_that_says_how(api: Api, resources: Resources) -> None:
    done = await api.run(QUEUE, text())
    answer = await cancel(api, done["id"])
    assert (answer.status_code, answer.json()["jobStatus"]) == (409, "completed")
    assert answer.json()["error"].endswith("has ended already, and cannot be cancelled: it completed")
    job_id = await api.accept(QUEUE, text("other"))
    running = await attempts.start(resources.store, job_id, "worker", 60)
    assert running is not None
    await attempts.end(resources.store, running, attempts.Ending(JobStatus.FAILED, {}, reason="bad text"))
    answer = await cancel(api, job_id)
    assert (answer.status_code, answer.json()["failedReason"]) == (409, "bad text")
    assert answer.json()["error"].endswith("it failed: bad text")


async def test_anothers_job_is_refused_and_an_admin_may(api: Api, resources: Resources, waits: str) -> None:
    assert (await cancel(api, waits, OTHER)).status_code == 403
    assert await waiting(resources) == [waits]
    assert (await cancel(api, waits, "root", admin=True)).status_code == 200


@pytest.mark.parametrize("path", [f"{PATH}/0123", f"{PATH}/a%20b", "/api/queues/audio/0123"])
async def test_an_unknown_job_is_not_found(api: Api, path: str) -> None:
    answer = await api.http.delete(path, headers=api.as_user("user-1"))
    assert answer.status_code == 404
    assert (await api.http.delete(path)).status_code == 401


async def test_a_job_of_another_type_is_not_found(api: Api, waits: str) -> None:
    path = f"/api/queues/image-processing/{waits}"
    assert (await api.http.delete(path, headers=api.as_user("user-1"))).status_code == 404


async def test_listeners_hear_of_it_after_it_is_on_record(api: Api, waits: str) -> None:
    path = f"/api/queues/{QUEUE}/{waits}/events"
    async with listening(api.http, path, api.as_user("user-1")) as stream:
        await stream.next()
        await cancelled(api, waits)
        progress, end = await stream.rest()
    assert progress.data["message"] == "cancelled"
    assert (end.event, end.data["failedReason"]) == ("failed", "cancelled")


# Servers that are away


@asynccontextmanager
async def crossed(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> AsyncIterator[tuple[Crossing, str]]:
    """A service whose way to one server is a crossing."""
    async with Crossing(url) as crossing:
        monkeypatch.setenv(name, crossing.url)
        monkeypatch.setenv("MEDIAQ_REDIS__TIMEOUT", "1")
        monkeypatch.setenv("MEDIAQ_DATABASE__TIMEOUT", "1")
        settings = load_settings()
        monkeypatch.setenv(name, url)
        async with serving(settings) as service:
            yield crossing, service


async def test_with_redis_away_a_job_is_cancelled_on_record_and_a_worker_that_gets_it_says_so(
    api: Api, resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    async with crossed(monkeypatch, "REDIS_URL", api.settings.redis.url) as (redis, service):
        redis.close()
        answer = await api.http.delete(f"{service}{PATH}/{waits}", headers=api.as_user("user-1"))
    assert (answer.status_code, answer.json()["failedReason"]) == (200, "cancelled"), answer.text
    assert await waiting(resources) == [waits]
    await work(api.settings, QUEUE)
    assert await status_in_rq(resources, waits) == "failed"
    assert (await row(resources, waits))["failed_reason"] == "cancelled"
    assert standin.calls() == []


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before it arrives", "after it is done"])
async def test_where_the_commit_is_unknown_the_answer_says_so_and_repeating_it_is_safe(
    api: Api, resources: Resources, monkeypatch: pytest.MonkeyPatch, waits: str, side: str
) -> None:
    async with crossed(monkeypatch, "DATABASE_URL", api.settings.database.url) as (postgres, service):
        url, headers = f"{service}{PATH}/{waits}", api.as_user("user-1")
        trap = postgres.set_trap(side, b"COMMIT")
        answer = await api.http.delete(url, headers=headers)
        assert trap.sprung.is_set()
        assert answer.status_code == 504, answer.text
        assert "repeat the request" in answer.json()["error"]
        again = await api.http.delete(url, headers=headers)
    assert (again.status_code, again.json()["failedReason"]) == (200, "cancelled")
    assert await waiting(resources) == []


async def test_the_reconciler_does_not_push_a_cancelled_job(
    api: Api, resources: Resources, waits: str
) -> None:
    await cancelled(api, waits)
    await resources.store.pool.execute("update jobs set accepted_at = accepted_at - interval '1 hour'")
    for status in ("canceled", "failed", ""):
        if status:
            await resources.redis.hset(keys.job(waits), "status", status)
        else:
            await resources.redis.delete(keys.job(waits))
        await resources.store.pool.execute("delete from leases")
        await Reconciler(resources, "reconciler of the test").make_round()
        assert await waiting(resources) == []
    assert (await row(resources, waits))["failed_reason"] == "cancelled"


# Races


async def test_of_a_cancel_and_a_start_at_once_the_cancel_holds(api: Api, resources: Resources) -> None:
    """Whichever is first: in the end it is cancelled, and its owner, if it has one, can do nothing."""
    for number in range(8):
        job_id = await api.accept(QUEUE, text(f"item-{number}"))
        begun, answer = await asyncio.gather(
            attempts.start(resources.store, job_id, "worker", 60), cancel(api, job_id)
        )
        assert answer.status_code == 200
        found = await row(resources, job_id)
        assert (found["status"], found["failed_reason"]) == ("failed", "cancelled")
        if begun is not None:
            with pytest.raises(FenceLost):
                await attempts.renew(resources.store, begun, 60)


async def test_of_a_cancel_and_an_end_at_once_one_holds_and_both_know(api: Api, resources: Resources) -> None:
    ends = set()
    for number in range(12):
        job_id = await api.accept(QUEUE, text(f"item-{number}"))
        running = await attempts.start(resources.store, job_id, "worker", 60)
        assert running is not None
        ending = attempts.Ending(JobStatus.COMPLETED, {}, metadata={})
        close = interventions.cancel(resources.store, job_id, 10)
        ended, closed = await asyncio.gather(
            attempts.end(resources.store, running, ending), close, return_exceptions=True
        )
        assert isinstance(closed, Record)
        found = await row(resources, job_id)
        assert closed.job.status == found["status"]
        assert (found["status"] == "completed") == (ended is None)
        assert closed.job.cancelled == isinstance(ended, FenceLost)
        assert (await cancel(api, job_id)).status_code == (409 if ended is None else 200)
        ends.add(found["status"])
    assert ends <= {"completed", "failed"}


async def test_a_cancel_that_comes_late_to_redis_leaves_a_retried_job_alone(
    api: Api, resources: Resources, waits: str
) -> None:
    """It was on record before the retry, and its word to Redis after it."""
    found = await interventions.cancel(resources.store, waits, 10)
    assert found is not None
    await resources.queues[QUEUE].cancel(waits)
    assert (await retry(api, waits)).status_code == 202
    assert not await resources.queues[QUEUE].cancel(waits, opening=found.job.opening)
    assert await waiting(resources) == [waits]
