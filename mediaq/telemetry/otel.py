"""Traces by OpenTelemetry; imported only where they are on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mediaq.telemetry.spans import CARRIED, Kind, Span, Value

KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}


class OtelTracer:
    """Makes spans by a provider.

    Args:
        provider: Takes the spans.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("mediaq")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, kind: Kind = "internal", *, parent: Mapping[str, Any] | None = None, **notes: Value
    ) -> Iterator[Span]:
        """Makes a span (`mediaq.telemetry.spans.Tracer`)."""
        context = None if parent is None else self._propagator.extract(_texts(parent))
        with self._tracer.start_as_current_span(
            name,
            context,
            KINDS[kind],
            {note.replace("_", "."): value for note, value in notes.items()},
            # Its text may have something of the content that it is about.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            noting = _OtelSpan(span)
            try:
                yield noting
            except BaseException as error:
                noting.fail(type(error).__name__)
                raise

    def carried(self) -> dict[str, str]:
        """Returns what carries the trace on."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, why: str) -> None:
        self._span.set_status(trace.StatusCode.ERROR, why)


def _texts(parent: Mapping[str, Any]) -> dict[str, str]:
    # It comes from outside, and may be anything.
    return {name: parent[name] for name in CARRIED if isinstance(parent.get(name), str)}


@asynccontextmanager
async def open_otel() -> AsyncIterator[OtelTracer]:
    """Yields a tracer whose spans are sent by OTLP, as OpenTelemetry's environment variables say."""
    # What is given here would win over what the environment says.
    told = "OTEL_SERVICE_NAME" in os.environ or SERVICE_NAME in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if told else {SERVICE_NAME: "mediaq"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield OtelTracer(provider)
    finally:
        # Sends what is left; bounded by the exporter's own timeout.
        await asyncio.to_thread(provider.shutdown)
