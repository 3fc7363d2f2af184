"""Failed and cancelled jobs run again: once, with all their attempts, and nothing is paid for twice."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from crossing import Crossing
from house import OTHER, Api, StandIn, serving, work
from route_kit import (
    CALL,
    PATH,
    QUEUE,
    cancel,
    item_status,
    retry,
    row,
    runs,
    send,
    status_in_rq,
    text,
    until,
    until_held,
    until_status,
    waiting,
)

from mediaq import interventions
from mediaq.errors import FenceLost
from mediaq.model import JobStatus
from mediaq.queue import keys
from mediaq.resources import Resources
from mediaq.settings import load_settings
from mediaq.store import attempts
from mediaq.worker import working


@pytest.fixture
def overrides() -> dict[str, str]:
    return {"MEDIAQ_REUSE__ENABLED": "false", "MEDIAQ_AWS__PROVIDER_PATIENCE": "0"}


async def fail(resources: Resources, job_id: str, reason: str = "bad text") -> None:
    """Has a job fail for good, in Postgres alone."""
    job = await attempts.start(resources.store, job_id, "worker", 60)
    assert job is not None
    ending = attempts.Ending(JobStatus.FAILED, {"kept": True}, reason=reason, trace="Traceback")
    await attempts.end(resources.store, job, ending)


async def failed(api: Api, resources: Resources, item: str = "m") -> str:
    """A job that failed, and that Redis does not know."""
    job_id = await api.accept(QUEUE, text(item))
    await fail(resources, job_id)
    await resources.redis.delete(keys.job(job_id), keys.queue(QUEUE))
    return job_id


async def until_pushed(resources: Resources, job_id: str) -> None:
    """Waits until the service's reconciler has pushed the job, which is not of the last moment."""
    await resources.store.pool.execute("update jobs set accepted_at = accepted_at - interval '1 minute'")

    async def pushed() -> bool:
        return await waiting(resources) == [job_id]

    await until(pushed)


async def pushes(resources: Resources) -> int:
    """How often a job has been put into the queue's list, by Redis's own count."""
    stats: Any = await resources.redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("rpush", "linsert"))


# One job


async def test_a_job_that_was_refused_runs_again_with_all_its_attempts(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """What was obtained is not paid for again, and what was refused is asked again."""
    standin.fault("DetectEntities", "error", code="InvalidRequestException", status=400)
    body = text() | {"operations": {"detectSentiment": True, "detectEntities": True}}
    job = await api.run(QUEUE, body)
    assert (job["status"], job["attemptsMade"]) == ("failed", 1), job
    assert len(standin.billed()) == 1

    answer = await retry(api, job["id"])
    told = answer.json()
    assert (answer.status_code, told["status"], told["estimate"]) == (202, "waiting", 0.0003)
    shown = await api.job(QUEUE, job["id"])
    assert (shown["status"], shown["attemptsMade"], shown["failedReason"]) == ("waiting", 0, None)
    assert (shown["finishedOn"], shown["processedOn"], shown["stacktrace"]) == (None, None, [])
    assert shown["progress"] == {
        "current": 1,
        "total": 2,
        "message": "waiting",
        "subTasks": {"detectSentiment": {"status": "completed"}, "detectEntities": {"status": "pending"}},
    }
    assert await item_status(resources) == "pending"
    assert (await row(resources, job["id"]))["deaths"] == 0

    await work(api.settings, QUEUE)
    done = await api.job(QUEUE, job["id"])
    assert (done["status"], done["attemptsMade"]) == ("completed", 1), done["failedReason"]
    assert await item_status(resources) == "completed"
    assert sorted(call["operation"] for call in standin.billed()) == ["DetectEntities", "DetectSentiment"]
    assert await status_in_rq(resources, job["id"]) == "finished"


async def test_a_cancelled_job_runs_again_and_leaves_the_registry_of_cancelled_ones(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    job_id = await api.accept(QUEUE, text())
    await cancel(api, job_id)
    assert (await retry(api, job_id)).status_code == 202
    assert await waiting(resources) == [job_id]
    assert await resources.redis.zcard(keys.canceled(QUEUE)) == 0
    assert await resources.redis.ttl(keys.job(job_id)) == -1
    await work(api.settings, QUEUE)
    assert (await api.job(QUEUE, job_id))["status"] == "completed"
    assert len(standin.billed()) == 1


async def test_a_job_cancelled_in_the_middle_of_a_call_does_not_pay_for_it_again(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """The call was seen through to its record; the next run finds its result there."""
    standin.fault(CALL, "latency", seconds=0.5)
    job_id = await api.accept(QUEUE, text())
    with working(api.settings):
        await until_held(standin)
        assert (await cancel(api, job_id)).status_code == 200
        assert (await retry(api, job_id)).status_code == 202
        await until_status(resources, job_id, "completed")
    assert await runs(resources, job_id) == [("succeeded", "billed")]
    assert len(standin.billed()) == 1


async def test_a_retry_waits_until_a_worker_has_ended_the_cancelled_run(
    api: Api, resources: Resources
) -> None:
    """RQ's worker writes what has become of the run, and would do so over the job that waits again."""
    job_id = await api.accept(QUEUE, text())
    await resources.redis.delete(keys.queue(QUEUE))
    await resources.redis.hset(keys.job(job_id), "status", "started")
    await resources.redis.zadd(keys.executions(job_id), {"execution": time.time() + 150})
    await cancel(api, job_id)
    assert (await retry(api, job_id)).status_code == 202
    assert (await waiting(resources), await status_in_rq(resources, job_id)) == ([], "canceled")

    await resources.redis.hset(keys.job(job_id), "status", "stopped")
    await resources.redis.delete(keys.executions(job_id))
    await until_pushed(resources, job_id)
    assert (await api.job(QUEUE, job_id))["status"] == "waiting"


@pytest.mark.parametrize("state", ["waiting", "active", "completed"])
async def test_a_job_that_is_open_or_completed_is_a_conflict(
    api: Api, resources: Resources, state: str
) -> None:
    job_id = await api.accept(QUEUE, text())
    if state == "active":
        await attempts.start(resources.store, job_id, "worker", 60)
    if state == "completed":
        await work(api.settings, QUEUE)
    before = await row(resources, job_id)
    answer = await retry(api, job_id)
    assert (answer.status_code, answer.json()["jobStatus"]) == (409, state), answer.text
    assert await row(resources, job_id) == before


async def test_anothers_job_is_refused_and_an_admin_may(api: Api, resources: Resources) -> None:
    job_id = await failed(api, resources)
    assert (await retry(api, job_id, OTHER)).status_code == 403
    assert (await row(resources, job_id))["status"] == "failed"
    assert (await retry(api, "0123")).status_code == 404
    assert (await api.http.post(f"{PATH}/{job_id}/retry")).status_code == 401
    assert (await retry(api, job_id, "root", admin=True)).status_code == 202


async def test_retries_at_once_open_the_job_once_and_push_it_once(api: Api, resources: Resources) -> None:
    job_id = await failed(api, resources)
    before = await pushes(resources)
    answers = await asyncio.gather(*(retry(api, job_id) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    assert await waiting(resources) == [job_id]
    assert await pushes(resources) == before + 1
    assert (await row(resources, job_id))["opening"] == 1


async def test_an_owner_from_before_the_retry_can_do_nothing(api: Api, resources: Resources) -> None:
    job_id = await api.accept(QUEUE, text())
    before = await attempts.start(resources.store, job_id, "worker", 60)
    assert before is not None
    await cancel(api, job_id)
    await retry(api, job_id)
    now = await attempts.start(resources.store, job_id, "another", 60)
    assert now is not None
    assert (now.attempts, now.fence > before.fence) == (1, True)
    with pytest.raises(FenceLost):
        await attempts.end(resources.store, before, attempts.Ending(JobStatus.COMPLETED, {}))


# What Redis says of an earlier end


@pytest.mark.parametrize("status", ["canceled", "failed", "stopped", "finished"])
async def test_a_job_that_could_not_be_pushed_is_pushed_by_the_reconciler_whatever_redis_says_of_its_end(
    api: Api, resources: Resources, standin: StandIn, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Without the number of its opening it would be closed again, or its end count as a worker's death."""
    job_id = await api.accept(QUEUE, text())
    await cancel(api, job_id)
    await resources.redis.hset(keys.job(job_id), "status", status)
    async with Crossing(api.settings.redis.url) as redis:
        monkeypatch.setenv("REDIS_URL", redis.url)
        monkeypatch.setenv("MEDIAQ_UPKEEP__INTERVAL", "1000")
        async with serving(load_settings()) as service:
            redis.close()
            answer = await api.http.post(f"{service}{PATH}/{job_id}/retry", headers=api.as_user("user-1"))
    assert answer.status_code == 202, answer.text
    await until_pushed(resources, job_id)
    await work(api.settings, QUEUE)
    done = await row(resources, job_id)
    assert (done["status"], done["deaths"]) == ("completed", 0)


async def test_a_death_after_the_retry_counts_as_one(api: Api, resources: Resources) -> None:
    job_id = await failed(api, resources)
    await retry(api, job_id)
    await resources.redis.delete(keys.queue(QUEUE))
    await resources.redis.hset(keys.job(job_id), "status", "failed")
    await until_pushed(resources, job_id)
    assert (await row(resources, job_id))["deaths"] == 1


# Many


async def retry_all(api: Api, user: str = "user-1", **how: Any) -> httpx.Response:
    return await send(api, "POST", "/api/jobs/retry", user, **how)


async def test_failed_jobs_run_again_by_filter_and_cancelled_ones_do_not(
    api: Api, resources: Resources
) -> None:
    first, second = [await failed(api, resources, item) for item in ("a", "b")]
    given_up = await api.accept(QUEUE, text("c"))
    await cancel(api, given_up)
    theirs = await api.accept(QUEUE, text("d"), OTHER)
    await fail(resources, theirs)

    answer = await retry_all(api, params={"mediaItemId": "a", "jobType": QUEUE, "status": "failed"})
    assert answer.json() == {"retried": 1, "ids": [first], "refused": [], "more": False}
    assert (await retry_all(api)).json() == {"retried": 1, "ids": [second], "refused": [], "more": False}
    assert (await retry_all(api)).json() == {"retried": 0, "ids": [], "refused": [], "more": False}
    assert [await item_status(resources, item) for item in "abcd"] == [
        "pending",
        "pending",
        "failed",
        "failed",
    ]
    assert {first, second} < set(await waiting(resources))
    answer = await retry_all(api, "root", admin=True, params={"userId": OTHER})
    assert answer.json()["ids"] == [theirs]


@pytest.mark.parametrize(
    ("params", "status"),
    [({"userId": OTHER}, 403), ({"status": "active"}, 422), ({"limit": 5}, 422), ({"from": "noon"}, 422)],
    ids=str,
)
async def test_a_bad_filter_retries_nothing(
    api: Api, resources: Resources, params: dict[str, Any], status: int
) -> None:
    job_id = await failed(api, resources)
    assert (await retry_all(api, params=params)).status_code == status
    assert (await api.http.post("/api/jobs/retry")).status_code == 401
    assert (await row(resources, job_id))["status"] == "failed"


async def test_more_than_one_call_takes_are_left_for_the_next(
    api: Api, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "MOST", 2)
    ids = [await failed(api, resources, f"item-{number}") for number in range(3)]
    assert (await retry_all(api)).json() == {"retried": 2, "ids": ids[:2], "refused": [], "more": True}
    assert (await retry_all(api)).json() == {"retried": 1, "ids": ids[2:], "refused": [], "more": False}


async def test_bulk_retries_at_once_share_the_jobs(api: Api, resources: Resources) -> None:
    ids = [await failed(api, resources, f"item-{number % 3}") for number in range(12)]
    before = await pushes(resources)
    answers = await asyncio.gather(*(retry_all(api) for _ in range(4)))
    opened = [job_id for answer in answers for job_id in answer.json()["ids"]]
    assert sorted(opened) == sorted(ids)
    assert sorted(await waiting(resources)) == sorted(ids)
    assert await pushes(resources) == before + len(ids)


async def test_a_retried_job_keeps_its_place_in_the_list(api: Api, resources: Resources) -> None:
    ids = [await failed(api, resources, item) for item in "ab"]
    await retry(api, ids[0])
    listed = await send(api, "GET", "/api/jobs")
    assert [job["id"] for job in listed.json()["jobs"]] == ids[::-1]


# Queues


async def test_a_paused_queue_is_left_alone_by_our_workers_until_it_is_resumed(
    api: Api, resources: Resources
) -> None:
    for _ in range(2):
        answer = await send(api, "POST", f"{PATH}/pause", admin=True)
        assert (answer.status_code, answer.json()) == (200, {"name": QUEUE, "paused": True})
    job_id = await api.accept(QUEUE, text())
    with working(api.settings):
        other = await api.accept(
            "embedding-generation", {"mediaItemId": "e", "contentType": "text", "content": "x"}
        )

        async def done() -> bool:
            return bool((await row(resources, other))["finished_at"])

        await until(done)
        counts = {
            each["name"]: each["counts"] for each in (await send(api, "GET", "/api/queues")).json()["queues"]
        }
        assert (counts[QUEUE]["paused"], counts[QUEUE]["waiting"]) == (1, 0)
        for _ in range(2):
            answer = await send(api, "POST", f"{PATH}/resume", admin=True)
            assert answer.json() == {"name": QUEUE, "paused": False}
        await until_status(resources, job_id, "completed")


@pytest.mark.parametrize("act", ["pause", "resume"])
async def test_queues_are_paused_by_admins_and_known_ones_only(api: Api, act: str) -> None:
    assert (await send(api, "POST", f"{PATH}/{act}")).status_code == 403
    assert (await api.http.post(f"{PATH}/{act}")).status_code == 401
    assert (await send(api, "POST", f"/api/queues/audio/{act}", admin=True)).status_code == 404


# Where there is little room


@pytest.fixture
def room_for_one(overrides: dict[str, str]) -> None:
    """A month's budget of what one text costs: 3 units of $0.0001."""
    overrides["MEDIAQ_BUDGETS__USER"] = "0.0003"


@pytest.fixture
def one_open(overrides: dict[str, str]) -> None:
    overrides["MEDIAQ_SERVICE__OPEN_JOBS"] = "1"


async def test_a_retry_needs_room_in_its_budget(room_for_one: None, api: Api, resources: Resources) -> None:
    first, second = await failed(api, resources, "a"), await failed(api, resources, "b")
    answer = await retry_all(api)
    assert (answer.json()["ids"], [each["status"] for each in answer.json()["refused"]]) == ([first], [402])
    answer = await retry(api, second)
    assert (answer.status_code, answer.json()["whose"], answer.json()["reserved"]) == (402, "user", 0.0003)
    assert (await row(resources, second))["status"] == "failed"
    assert await item_status(resources, "b") == "failed"
    await cancel(api, first)
    assert (await retry(api, second)).status_code == 202


async def test_a_retry_counts_as_an_open_job(one_open: None, api: Api, resources: Resources) -> None:
    first, second = await failed(api, resources, "a"), await failed(api, resources, "b")
    answer = await retry_all(api)
    assert (answer.json()["ids"], [each["status"] for each in answer.json()["refused"]]) == ([first], [429])
    assert (await retry(api, second)).status_code == 429
    await cancel(api, first)
    assert (await retry(api, second)).status_code == 202
