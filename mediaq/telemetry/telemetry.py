"""What is told of a process's work, numbers and spans together; passed down by the composition root."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from attrs import frozen

from mediaq.errors import MediaqError, NoRoom, ProviderError, Refused, Throttled, Unanswered, Unreachable
from mediaq.settings import load_settings
from mediaq.telemetry.meters import Meters
from mediaq.telemetry.spans import Tracer, open_tracer

# What a worker keeps it as, for all that runs in it.
KEPT_AS = "telemetry"
# What a failed call counts as; the first that fits.
OUTCOMES: tuple[tuple[type[ProviderError], str], ...] = (
    (Throttled, "throttled"),
    (Unreachable, "unreachable"),
    (Unanswered, "unanswered"),
    (NoRoom, "no_room"),
    (Refused, "refused"),
    (ProviderError, "failed"),
)


@frozen
class Telemetry:
    """Numbers and spans of one process.

    Args:
        meters: The numbers.
        tracer: Makes spans.
    """

    meters: Meters
    tracer: Tracer

    @contextmanager
    def call(self, limit: str) -> Iterator[None]:
        """Tells of a call to a provider, which is the block.

        Args:
            limit: What is called, as of `mediaq.aws.limits.limit_of`.
        """
        # Not by model: whoever may name one would make series.
        name = limit.partition(":")[0]
        service, _, operation = name.partition(".")
        started, outcome = time.perf_counter(), "cancelled"
        try:
            with self.tracer.span(name, "client", rpc_service=service, rpc_method=operation):
                yield
            outcome = "ok"
        except ProviderError as error:
            outcome = next(word for kind, word in OUTCOMES if isinstance(error, kind))
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self.meters.call_ended(service, operation, outcome, time.perf_counter() - started)

    @contextmanager
    def operation(self, job_type: str, name: str) -> Iterator[None]:
        """Tells of an operation of a job, which is the block."""
        # Where the job is another's by now, or somebody else's answer is on record, it has not failed.
        started, outcome = time.perf_counter(), "interrupted"
        try:
            with self.tracer.span(name, mediaq_job_type=job_type):
                yield
            outcome = "completed"
        except Exception as error:
            if isinstance(error, ProviderError) or not isinstance(error, MediaqError):
                outcome = "failed"
            raise
        finally:
            self.meters.operation_ended(job_type, name, outcome, time.perf_counter() - started)


@asynccontextmanager
async def open_telemetry(*, traces: bool) -> AsyncIterator[Telemetry]:
    """Yields what a process tells of itself by.

    Args:
        traces: Whether it makes spans.

    Raises:
        SettingsError: It should, and OpenTelemetry is not installed.
    """
    async with open_tracer(enabled=traces) as tracer:
        yield Telemetry(Meters(), tracer)


def open_as_set() -> AbstractAsyncContextManager[Telemetry]:
    """Opens what this process tells of itself by, as the settings say.

    Raises:
        SettingsError: A setting is bad, or as of `open_telemetry`.
    """
    return open_telemetry(traces=load_settings().traces.enabled)
