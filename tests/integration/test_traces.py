"""Traces: one from the request to the cost row, across the service and whatever worker runs the job."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from house import Api, StandIn, serving, work
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis
from rq import Queue
from worker_kit import at_work

from mediaq.errors import SettingsError
from mediaq.resources import open_resources
from mediaq.settings import Settings, load_settings
from mediaq.telemetry.meters import Meters
from mediaq.telemetry.otel import OtelTracer
from mediaq.telemetry.telemetry import Telemetry
from mediaq.worker import AsyncWorker, read_options

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TEXT = "What a caller writes stands in no span."
JOB = {
    "mediaItemId": "item-1",
    "text": TEXT,
    "languageCode": "en",
    "operations": {"detectSentiment": True, "detectEntities": True},
}


class Spans:
    """What the service and the workers of a test have traced, each with a provider of its own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def telemetry(self) -> Telemetry:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return Telemetry(Meters(), OtelTracer(provider))

    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def api(settings: Settings, bucket: str, s3_url: str, spans: Spans) -> AsyncIterator[Api]:
    """The service, traced."""
    async with serving(settings, telemetry=spans.telemetry()) as url, httpx.AsyncClient(base_url=url) as http:
        yield Api(http, settings, bucket, s3_url)


async def run(api: Api, spans: Spans, job_id: str) -> dict[str, Any]:
    """Has a traced worker run a job to its end."""
    with Redis.from_url(api.settings.redis.url) as redis:
        worker = AsyncWorker(
            ["text-analysis"],
            connection=redis,
            options=read_options(api.settings),
            telemetry=spans.telemetry(),
        )
        with at_work(worker, release=False):
            async with asyncio.timeout(30):
                while True:
                    job = await api.job("text-analysis", job_id)
                    if job["status"] in ("completed", "failed"):
                        break
                    await asyncio.sleep(0.02)
    return job


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def traces_of(spans: Sequence[ReadableSpan]) -> set[str]:
    return {f"{span.context.trace_id:032x}" for span in spans if span.context is not None}


async def test_from_the_callers_request_to_the_cost_row_it_is_one_trace(api: Api, spans: Spans) -> None:
    answer = await api.post("text-analysis", JOB, traceparent=CALLER)
    job = await run(api, spans, answer.json()["id"])
    assert job["status"] == "completed"
    trace = [span for span in spans.all() if "{job_id}" not in span.name]
    assert traces_of(trace) == {CALLER.split("-")[1]}
    request = spans.one("POST /api/queues/{job_type}")
    assert parent_of(request) == int(CALLER.split("-")[2], 16)
    push, attempt = spans.one("push text-analysis"), spans.one("run text-analysis")
    assert parent_of(spans.one("accept")) == parent_of(push) == id_of(request)
    assert parent_of(attempt) == id_of(push)
    for operation in ("detectSentiment", "detectEntities"):
        span = spans.one(operation)
        assert parent_of(span) == id_of(attempt)
        call = spans.one(f"comprehend.{operation[0].upper()}{operation[1:]}")
        assert parent_of(call) == id_of(span)
        assert any(parent_of(settled) == id_of(span) for settled in spans.named("settle"))


async def test_every_attempt_goes_on_with_the_trace_of_its_request(
    overrides: dict[str, str], impatient: None, api: Api, spans: Spans, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "throttle", times=1)
    job = await run(api, spans, await api.accept("text-analysis", JOB))
    assert (job["status"], job["attemptsMade"]) == ("completed", 2)
    first, second = spans.named("run text-analysis")
    assert traces_of([first, second]) == traces_of([spans.one("POST /api/queues/{job_type}")])
    assert (first.status.is_ok, first.status.description) == (False, "JobFailed")
    assert second.status.is_unset
    failed, done = spans.named("detectSentiment")
    assert (failed.status.description, done.status.is_unset) == ("Throttled", True)
    # What is on record is not done again.
    assert len(spans.named("detectEntities")) == 1


async def test_no_span_tells_who_called_or_what_was_in_the_content(
    api: Api, spans: Spans, standin: StandIn
) -> None:
    standin.fault("DetectSentiment", "error", times=1, code="TextSizeLimitExceededException", status=400)
    await run(api, spans, await api.accept("text-analysis", {**JOB, "mediaItemId": "secret-item"}))
    assert spans.one("detectSentiment").status.description == "Refused"
    told = "".join(span.to_json() for span in spans.all())
    for secret in ("user-1", "secret-item", "What a caller"):
        assert secret not in told


async def test_a_job_pushed_without_a_trace_begins_one_and_what_is_no_trace_does_no_harm(
    settings: Settings, bucket: str, s3_url: str, spans: Spans
) -> None:
    """As one that the reconciler pushes, or that a service without traces has accepted."""
    async with serving(settings) as url, httpx.AsyncClient(base_url=url) as http:
        api = Api(http, settings, bucket, s3_url)
        job_id = await api.accept("text-analysis", JOB)
        with Redis.from_url(settings.redis.url) as redis:
            rq_job = Queue("text-analysis", connection=redis).fetch_job(job_id)
            assert rq_job is not None
            assert set(rq_job.meta) == {"progress"}
            rq_job.meta["traceparent"] = "no trace at all"
            rq_job.save_meta()
        assert (await run(api, spans, job_id))["status"] == "completed"
    attempt = spans.one("run text-analysis")
    assert parent_of(attempt) is None
    assert traces_of(spans.all()) == traces_of([attempt])


async def test_stock_workers_run_what_carries_a_trace_and_leave_it_there(api: Api) -> None:
    job_id = await api.accept("text-analysis", JOB)
    await work(api.settings, "text-analysis")
    assert (await api.job("text-analysis", job_id))["status"] == "completed"
    with Redis.from_url(api.settings.redis.url) as redis:
        rq_job = Queue("text-analysis", connection=redis).fetch_job(job_id)
        assert rq_job is not None
        assert set(rq_job.meta) == {"progress", "traceparent"}
        assert {type(task["status"]) for task in rq_job.meta["progress"]["subTasks"].values()} == {str}


async def test_switched_on_without_the_extra_it_says_what_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIAQ_TRACES__ENABLED", "true")
    monkeypatch.setitem(sys.modules, "mediaq.telemetry.otel", None)
    with pytest.raises(SettingsError, match=r"traces.enabled needs the extra 'traces' \(pip install"):
        async with open_resources(load_settings()):
            pass


async def test_switched_on_spans_go_where_opentelemetrys_own_variables_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        got.put_nowait(head.splitlines()[0] + await reader.readexactly(int(length.split(b":")[1])))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(collect, "127.0.0.1") as collector:
        port = collector.sockets[0].getsockname()[1]
        monkeypatch.setenv("MEDIAQ_TRACES__ENABLED", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        async with open_resources(load_settings()) as resources:
            with resources.telemetry.tracer.span("a span to be seen"):
                pass
        sent = await asyncio.wait_for(got.get(), 10)
    assert sent.startswith(b"POST /v1/traces HTTP/1.1")
    assert b"a span to be seen" in sent
    assert b"mediaq" in sent
