"""Faults on demand: rules that spoil the next calls of an operation."""

from __future__ import annotations

import asyncio
from typing import Literal
from uuid import uuid4

import attrs
from attrs import field, frozen

from mediaq.embedded.standin.errors import AwsError, HangUp

Kind = Literal["throttle", "error", "unavailable", "latency", "drop", "drop-after", "fail-job", "limit"]


@frozen(kw_only=True)
class Rule:
    """One fault.

    Args:
        operation: The operation that it spoils; `*` stands for all.
        kind: `throttle`, `error`, `unavailable` and `limit` answer with an error; `latency` only delays;
            `drop` cuts the connection before the work, `drop-after` after the work was done and billed;
            `fail-job` makes the asynchronous job that the call starts end FAILED.
        times: How many calls it spoils; None: all.
        seconds: How long it holds the call first, whatever its kind.
        code: The error's code, where the kind's own is not wanted.
        status: The error's HTTP status, likewise.
    """

    operation: str
    kind: Kind
    times: int | None = field(default=1)
    seconds: float = field(default=0.0, validator=attrs.validators.ge(0))
    code: str | None = None
    status: int | None = field(default=None, validator=attrs.validators.optional(attrs.validators.ge(400)))
    id: str = field(factory=lambda: uuid4().hex)

    @times.validator
    def _positive(self, _: attrs.Attribute[int | None], times: int | None) -> None:
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1, or null for every call; it is {times}")


class Faults:
    """The rules in force, oldest first."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def take(self, operation: str) -> list[Rule]:
        """Use up the rules that spoil this call: every delay, and the oldest rule of another kind."""
        taken: list[Rule] = []
        for rule in self.rules:
            other = any(earlier.kind != "latency" for earlier in taken)
            if _concerns(rule, operation) and (rule.kind == "latency" or not other):
                taken.append(rule)
        self.rules = [left for rule in self.rules if (left := _used(rule) if rule in taken else rule)]
        return taken


async def strike(rules: list[Rule], service: str) -> None:
    """Apply what comes before a call's work.

    Raises:
        AwsError: A rule answers with an error.
        HangUp: A rule cuts the connection.
    """
    for rule in rules:
        await asyncio.sleep(rule.seconds)
        if rule.kind == "drop":
            raise HangUp
        if error := _error(rule, service):
            raise error


def _concerns(rule: Rule, operation: str) -> bool:
    if rule.kind == "fail-job" and not operation.startswith("Start"):
        return False
    return rule.operation in (operation, "*")


def _used(rule: Rule) -> Rule | None:
    if rule.times is None:
        return rule
    return attrs.evolve(rule, times=rule.times - 1) if rule.times > 1 else None


def _error(rule: Rule, service: str) -> AwsError | None:
    match rule.kind:
        case "throttle":
            # Bedrock and OpenAI answer 429, the JSON services 400.
            status = 429 if service in ("bedrock", "openai") else 400
            error = AwsError("ThrottlingException", "Rate exceeded", status)
        case "error":
            error = AwsError("InternalServerError", "An internal server error occurred. Try again.", 500)
        case "unavailable":
            error = AwsError("ServiceUnavailableException", "The service is unavailable. Try again.", 503)
        case "limit":
            error = AwsError(
                "LimitExceededException", "Too many jobs run at once. Wait until some have ended."
            )
        case _:
            return None
    return AwsError(rule.code or error.code, error.message, rule.status or error.status)
