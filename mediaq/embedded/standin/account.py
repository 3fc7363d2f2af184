"""What AWS lets the account do: its limits, and how much of its rates is used up."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from mediaq.embedded.standin.errors import AwsError

if TYPE_CHECKING:
    from mediaq.embedded.standin.invocations import Limits, Operation


class Account:
    """The account that all calls are made for.

    Args:
        limits: Its limits at first.
        operations: The names of the operations that there are.

    Raises:
        ValueError: A rate is of no operation.
    """

    def __init__(self, limits: Limits, operations: Collection[str]) -> None:
        self._operations = operations
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Put other limits in force; every operation may be called at its full burst again.

        Raises:
            ValueError: A rate is of no operation; nothing has changed.
        """
        if unknown := sorted(limits.rates.keys() - set(self._operations)):
            raise ValueError(f"there is no operation {', '.join(unknown)}")
        self.limits = limits
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, operation: Operation) -> None:
        """Count a call.

        Raises:
            AwsError: There have been too many of this operation; this one does not count.
        """
        rate = self.limits.rates.get(operation.name)
        if rate is None:
            return
        # Bedrock counts by model, which is what its items tell apart.
        key = f"{operation.name} {operation.item}"
        if key not in self._buckets:
            self._buckets[key] = _Bucket(rate, max(1.0, rate * self.limits.burst_seconds))
        if not self._buckets[key].take():
            raise _too_many(operation.service)


class _Bucket:
    """A token bucket: `size` calls at once, refilled at `rate` calls a second."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size = rate, size
        self._tokens, self._at = size, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _too_many(service: str) -> AwsError:
    """Return what the service says of too many calls, as its API reference has it."""
    match service:
        case "rekognition":
            return AwsError(
                "ProvisionedThroughputExceededException",
                "The number of requests exceeded your throughput limit.",
            )
        case "bedrock":
            return AwsError(
                "ThrottlingException",
                "Your request was denied due to exceeding the account quotas for Amazon Bedrock.",
                429,
            )
        case "openai":
            return AwsError("rate_limit_exceeded", "Rate limit reached for requests", 429)
        case _:
            return AwsError("ThrottlingException", "Rate exceeded")
