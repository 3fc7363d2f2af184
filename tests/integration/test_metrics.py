"""What Prometheus reads of the service and of workers."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from house import OTHER, USER, Api, StandIn, serving, work
from numbers_kit import Numbers
from redis import Redis
from worker_kit import at_work, until

from mediaq.embedded import ports
from mediaq.resources import Resources
from mediaq.service.observed import Observed
from mediaq.settings import Settings, load_settings
from mediaq.telemetry.meters import Meters
from mediaq.telemetry.spans import NoTracer
from mediaq.telemetry.telemetry import Telemetry
from mediaq.worker import AsyncWorker

DASHBOARD = Path(__file__).parents[2] / "docker/grafana/dashboards/mediaq.json"
TEXT = "Nobody reads this in a label: we had a wonderful day in Paris."
TOKEN = "a token of Prometheus's own"
JOB = {
    "mediaItemId": "secret-item",
    "text": TEXT,
    "operations": {"detectSentiment": True},
    "languageCode": "en",
}


@pytest.fixture
def overrides() -> dict[str, str]:
    return {"MEDIAQ_SERVICE__METRICS_TOKEN": TOKEN, "MEDIAQ_QUEUES__TEXT_ANALYSIS__BACKOFF": "0"}


@pytest.fixture
def port(overrides: dict[str, str]) -> int:
    """Where the worker shows its numbers; to be named before what uses the settings."""
    overrides["MEDIAQ_WORKER__METRICS_PORT"] = str(found := ports.free_port())
    return found


async def read(http: httpx.AsyncClient, token: str = TOKEN) -> Numbers:
    answer = await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Numbers.read(answer.text)


@contextmanager
def a_worker(settings: Settings) -> Iterator[AsyncWorker]:
    """A worker of all queues, with the settings' metrics, in a thread."""
    with Redis.from_url(settings.redis.url) as redis:
        worker = AsyncWorker(settings.queues.names(), connection=redis)
        with at_work(worker, release=False):
            yield worker


async def ended(api: Api, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            job = await api.job("text-analysis", job_id)
            if job["status"] in ("completed", "failed"):
                return job
            await asyncio.sleep(0.02)


async def read_worker(port: int, jobs: int) -> Numbers:
    """What a worker shows once so many attempts at jobs have ended: on record they end a little earlier."""
    async with httpx.AsyncClient() as http, asyncio.timeout(10):
        while True:
            found = Numbers.read((await http.get(f"http://127.0.0.1:{port}/metrics")).text)
            if found.sum("mediaq_job_seconds_count") == jobs:
                return found
            await asyncio.sleep(0.02)


async def test_only_admins_and_whoever_has_the_token_read_the_services(api: Api) -> None:
    async def status(**headers: str) -> int:
        return (await api.http.get("/metrics", headers=headers)).status_code

    assert await status() == 401
    assert await status(Authorization="Bearer another token") == 401
    assert await status(**api.as_user(USER)) == 403
    assert await status(**api.as_user(USER, admin=True)) == 200
    assert await status(Authorization=f"Bearer {TOKEN}") == 200


async def test_anybody_may_where_the_settings_say_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIAQ_SERVICE__METRICS_PUBLIC", "true")
    async with serving(load_settings()) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/metrics")).status_code == 200


async def test_requests_are_counted_by_their_routes_and_nothing_of_the_caller_is_told(api: Api) -> None:
    job_id = await api.accept("text-analysis", JOB)
    for _ in range(2):
        await api.job("text-analysis", job_id)
    await api.http.get(f"/api/queues/text-analysis/{job_id}", headers=api.as_user(OTHER))
    await api.http.get("/somewhere/else")
    await api.http.request("BREW", "/healthz")
    found = await read(api.http)
    one, name = "/api/queues/{job_type}/{job_id}", "mediaq_http_request_seconds_count"
    assert found.sum(name, route="/api/queues/{job_type}", method="POST", status="202") == 1
    assert found.sum(name, route=one, method="GET", status="200") == 2
    assert found.sum(name, route=one, method="GET", status="403") == 1
    assert found.sum(name, route="none", status="404") == 1
    assert found.sum(name, route="/healthz", method="other", status="405") == 1
    for told in (job_id, USER, OTHER, "secret-item", "Paris", "BREW"):
        assert told not in found.page


async def test_queues_are_counted_and_the_oldest_job_is_known_whichever_end_it_is_at(
    api: Api, redis_url: str
) -> None:
    first = await api.accept("text-analysis", JOB)
    last = await api.accept("text-analysis", JOB)
    found = await read(api.http)
    assert found.sum("mediaq_queue_jobs", queue="text-analysis", state="waiting") == 2
    assert found.sum("mediaq_queue_jobs", queue="image-processing", state="waiting") == 0
    for job_id in (first, last):
        with Redis.from_url(redis_url) as redis:
            redis.hset(f"rq:job:{job_id}", "enqueued_at", "2020-01-01T00:00:00.000000Z")
            found = await read(api.http)
            assert found.sum("mediaq_queue_oldest_seconds", queue="text-analysis") > 1e8
            redis.hset(f"rq:job:{job_id}", "enqueued_at", "no time at all")
    found = await read(api.http)
    assert found.sum("mediaq_queue_oldest_seconds", queue="text-analysis") == 0


async def test_a_server_that_is_away_is_told_and_the_rest_stands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{ports.free_port()}")
    async with serving(load_settings()) as url, httpx.AsyncClient(base_url=url) as http:
        found = await read(http)
    assert found.sum("mediaq_server_up", server="redis") == 0
    assert found.sum("mediaq_server_up", server="postgres") == 1
    assert "mediaq_queue_jobs" not in found.names


async def test_what_stock_workers_spend_is_read_from_the_ledger(api: Api) -> None:
    job = await api.run("text-analysis", JOB)
    found = await read(api.http)
    labels = {"service": "comprehend", "operation": "detectSentiment", "certainty": "billed"}
    assert found.sum("mediaq_ledger_dollars", **labels) == pytest.approx(job["cost"])
    assert found.sum("mediaq_ledger_calls", **labels) == 1


async def test_only_what_was_begun_within_the_hour_counts(api: Api, resources: Resources) -> None:
    for number in range(7):
        await api.accept("text-analysis", {**JOB, "text": f"{TEXT} {number}"})
    await work(api.settings, "text-analysis")
    old = "update cost_entries set created_at = now() - interval '61 minutes' where id in \
           (select id from cost_entries order by id limit $1)"
    await resources.store.pool.execute(old, 3)
    found = await read(api.http)
    assert found.sum("mediaq_ledger_calls", certainty="billed") == 4


async def test_a_worker_tells_how_jobs_operations_and_calls_ended_and_what_they_cost(
    port: int, api: Api, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "throttle", times=1)
    with a_worker(api.settings):
        job = await ended(api, await api.accept("text-analysis", JOB))
        assert job["status"] == "completed"
        bad = {**JOB, "s3Key": "no/such/text"}
        del bad["text"]
        assert (await ended(api, await api.accept("text-analysis", bad)))["status"] == "failed"
        found = await read_worker(port, 2)
    own = {"queue": "text-analysis"}
    assert found.sum("mediaq_job_seconds_count", outcome="finished", **own) == 1
    assert found.sum("mediaq_job_seconds_count", outcome="failed", **own) == 1
    operation = {"type": "text-analysis", "operation": "detectSentiment"}
    assert found.sum("mediaq_operation_seconds_count", outcome="completed", **operation) == 1
    assert found.sum("mediaq_operation_seconds_count", outcome="failed", **operation) == 1
    call = {"service": "comprehend", "operation": "DetectSentiment"}
    assert found.sum("mediaq_provider_call_seconds_count", outcome="ok", **call) == 1
    assert found.sum("mediaq_provider_call_seconds_count", outcome="throttled", **call) == 1
    assert found.sum("mediaq_provider_throttles_total", **call) == 1
    cost = {"service": "comprehend", "operation": "detectSentiment", "certainty": "billed"}
    assert found.sum("mediaq_cost_dollars_total", **cost) == pytest.approx(job["cost"])
    assert found.sum("mediaq_commit_writes_count") >= 4
    assert found.sum("mediaq_writes_waiting") == 0
    assert found.sum("mediaq_loop_lag_seconds_count") > 0
    assert found.sum("mediaq_worker_slots", **own) == 5
    assert found.sum("mediaq_worker_parked", **own) == 0
    assert found.sum("mediaq_postgres_connections") == 10
    for told in (job["id"], USER, "secret-item", "Paris", "no/such"):
        assert told not in found.page


async def test_an_attempt_that_is_run_again_is_a_retry_and_a_lost_answer_a_possible_cost(
    port: int, impatient: None, api: Api, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "drop", times=1)
    with a_worker(api.settings):
        job = await ended(api, await api.accept("text-analysis", JOB))
        found = await read_worker(port, 2)
    assert job["attemptsMade"] == 2
    assert found.sum("mediaq_job_retries_total", queue="text-analysis") == 1
    assert found.sum("mediaq_cost_dollars_total", certainty="possibly_billed") == pytest.approx(
        job["possibleCost"]
    )
    assert found.sum("mediaq_provider_call_seconds_count", outcome="unanswered") == 1


async def test_a_port_that_another_has_costs_no_job(port: int, api: Api) -> None:
    with a_worker(api.settings) as first:
        await asyncio.to_thread(until, lambda: first.observer)
        with a_worker(api.settings):
            job = await ended(api, await api.accept("text-analysis", JOB))
    assert job["status"] == "completed"


async def test_each_query_of_the_dashboard_names_what_is_there(
    port: int, impatient: None, api: Api, standin: StandIn
) -> None:
    # So that there is a retry, too.
    standin.fault("DetectSentiment", "throttle", times=1)
    with a_worker(api.settings):
        await ended(api, await api.accept("text-analysis", JOB))
        shown = [await read_worker(port, 2), await read(api.http)]
    # Of several processes of a command only, as the label `process`; the others are Prometheus's own.
    names = {"mediaq_process_up"}.union(*(found.names for found in shown))
    added = {"le", "instance", "job", "process"}
    queries = [
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) > 20
    for query in queries:
        used = set(re.findall(r"\b(?:mediaq|process)_[a-z_]+", re.sub(r"by \([^)]*\)", "", query)))
        assert used, query
        assert used <= names, query
        known = added.union(*(found.labels(name) for found in shown for name in used))
        by = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}
        assert by <= known, query


async def test_a_stream_of_events_is_not_held_back(settings: Settings) -> None:
    telemetry, more = Telemetry(Meters(), NoTracer()), asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"event: first\n\n", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = SimpleNamespace(state=SimpleNamespace(resources=SimpleNamespace(telemetry=telemetry)))
    scope = {"type": "http", "method": "GET", "headers": [], "app": app}
    task = asyncio.create_task(Observed(stream)(scope, None, send))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert len(sent) == 2
    # Counted when it begins, not when the last event has gone.
    assert telemetry.meters.registry.get_sample_value(
        "mediaq_http_request_seconds_count", {"route": "none", "method": "GET", "status": "200"}
    )
    more.set()
    await task
