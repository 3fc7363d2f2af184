"""Traces: one from a request to its cost row, across processes; nothing at all where they are off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Literal, Protocol

from mediaq.errors import SettingsError

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
# W3C Trace Context: the names under which a trace travels, in HTTP headers and beside a job.
CARRIED = ("traceparent", "tracestate")


class Span(Protocol):
    """A part of a trace that has begun."""

    def rename(self, name: str) -> None:
        """Names it better, now that more is known."""

    def note(self, name: str, value: Value) -> None:
        """Says something more of it."""

    def fail(self, why: str) -> None:
        """Marks it as failed."""


class Tracer(Protocol):
    """Makes spans."""

    def span(
        self, name: str, kind: Kind = "internal", *, parent: Mapping[str, Any] | None = None, **notes: Value
    ) -> AbstractContextManager[Span]:
        """Makes a span that lasts as long as the block; one that an error ends is marked by the error's type.

        Args:
            name: What is done.
            kind: OpenTelemetry's kind of spans.
            parent: What carries the trace to go on with; None: the one that goes on here.
            notes: What else is known of it; `_` stands for a point.
        """

    def carried(self) -> dict[str, str]:
        """Returns what carries the trace that goes on here to other processes."""


class NoTracer:
    """Makes nothing, for nothing."""

    def __init__(self) -> None:
        self._nothing = nullcontext(_NoSpan())

    def span(
        self,
        name: str,  # noqa: ARG002 - the shape of Tracer
        kind: Kind = "internal",  # noqa: ARG002
        *,
        parent: Mapping[str, Any] | None = None,  # noqa: ARG002
        **notes: Value,  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """Makes no span."""
        return self._nothing

    def carried(self) -> dict[str, str]:
        """Returns nothing: there is no trace."""
        return {}


class _NoSpan:
    def rename(self, name: str) -> None:
        """Drops it."""

    def note(self, name: str, value: Value) -> None:
        """Drops it."""

    def fail(self, why: str) -> None:
        """Drops it."""


@asynccontextmanager
async def open_tracer(*, enabled: bool) -> AsyncIterator[Tracer]:
    """Yields what makes spans; at the end, what is left of them is sent.

    Args:
        enabled: Whether there are any. Where they go, and as what, is told by OpenTelemetry's own environment
            variables.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    if not enabled:
        yield NoTracer()
        return
    try:
        from mediaq.telemetry.otel import open_otel
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"traces.enabled needs the extra 'traces' (pip install 'mediaq[traces]'): {error}"
        ) from error
    async with open_otel() as tracer:
        yield tracer
