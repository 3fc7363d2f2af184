"""The numbers that a process keeps; what they are called, and what they are counted by.

Labels are names of the code's own (queues, operations, routes, outcomes): never a user, an id or a content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Value = tuple[tuple[str, ...], float]

# Seconds: of a call to AWS, a request, a loop that is held; and of jobs, which may be videos.
SHORT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
WRITES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


class Meters:
    """One process's numbers, in a registry of its own.

    Attributes:
        registry: What is exposed.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._jobs = self._seconds("job", "Seconds that an attempt took.", ("queue", "outcome"), LONG)
        self._again = self._count("job_retries", "Attempts that failed before another.", ("queue",))
        self._operations = self._seconds(
            "operation", "Seconds that an operation of a job took.", ("type", "operation", "outcome"), LONG
        )
        self._calls = self._seconds(
            "provider_call", "Seconds until a provider answered.", ("service", "operation", "outcome"), SHORT
        )
        self._throttles = self._count(
            "provider_throttles", "Calls that a provider refused as too many.", ("service", "operation")
        )
        self._dollars = self._count(
            "cost_dollars", "Dollars put on record here.", ("service", "operation", "certainty")
        )
        self._requests = self._seconds(
            "http_request", "Seconds until an answer began.", ("route", "method", "status"), SHORT
        )
        self._webhooks = self._seconds(
            "webhook", "Seconds until the end of a job was told, or not.", ("outcome",), SHORT
        )
        self._lag = self._seconds("loop_lag", "Seconds by which the event loop was late.", (), SHORT)
        self._commits = Histogram(
            "mediaq_commit_writes",
            "Writes that shared a commit.",
            registry=self.registry,
            buckets=WRITES,
        )

    def job_ended(self, queue: str, outcome: str, seconds: float, *, again: bool) -> None:
        """Counts an attempt at a job (`mediaq.queue.observer.Observer`)."""
        self._jobs.labels(queue, outcome).observe(seconds)
        if again:
            self._again.labels(queue).inc()

    def loop_lagged(self, seconds: float) -> None:
        """Counts a look at the event loop (`mediaq.queue.observer.Observer`)."""
        self._lag.observe(seconds)

    def operation_ended(self, job_type: str, operation: str, outcome: str, seconds: float) -> None:
        """Counts an operation of a job."""
        self._operations.labels(job_type, operation, outcome).observe(seconds)

    def call_ended(self, service: str, operation: str, outcome: str, seconds: float) -> None:
        """Counts a call to a provider."""
        self._calls.labels(service, operation, outcome).observe(seconds)
        if outcome == "throttled":
            self._throttles.labels(service, operation).inc()

    def request_ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(route, method, str(status)).observe(seconds)

    def webhook_ended(self, outcome: str, seconds: float) -> None:
        """Counts a try to tell a job's end."""
        self._webhooks.labels(outcome).observe(seconds)

    def charged(self, service: str, operation: str, certainty: str, dollars: Decimal) -> None:
        """Counts what a call costs, once it is on record (`mediaq.store.pool.Observer`)."""
        self._dollars.labels(service, operation, certainty).inc(float(dollars))

    def committed(self, writes: int) -> None:
        """Counts a commit (`mediaq.store.pool.Observer`)."""
        self._commits.observe(writes)

    @contextmanager
    def showing(
        self, name: str, text: str, labels: tuple[str, ...], read: Callable[[], Iterable[Value]]
    ) -> Iterator[None]:
        """Shows a number that is read when it is asked for, while the block runs.

        Args:
            name: Its name, without mediaq's own.
            text: What it is.
            labels: The names of its labels.
            read: Returns the values, each with its labels' values; called from any thread.
        """
        collector = _Read(name, text, labels, read)
        self.registry.register(collector)
        try:
            yield
        finally:
            self.registry.unregister(collector)

    def _seconds(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(f"mediaq_{name}_seconds", text, labels, registry=self.registry, buckets=buckets)

    def _count(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"mediaq_{name}", text, labels, registry=self.registry)


def gauge(name: str, text: str, labels: tuple[str, ...], values: Iterable[Value]) -> Metric:
    """Returns a number that goes up and down, as it is now.

    Args:
        name: Its name, without mediaq's own.
        text: What it is.
        labels: The names of its labels.
        values: The values, each with its labels' values.
    """
    family = GaugeMetricFamily(f"mediaq_{name}", text, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


class _Read(Collector):
    """Reads a gauge's values when it is collected."""

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], read: Callable[[], Iterable[Value]]
    ) -> None:
        self._terms = (name, text, labels)
        self._read = read

    def collect(self) -> Iterable[Metric]:
        yield gauge(*self._terms, self._read())

    def describe(self) -> Iterable[Metric]:
        yield gauge(*self._terms, ())
