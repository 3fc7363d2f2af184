"""A job that is ready to be enqueued: a call and RQ's arguments for it, packed into what Redis is sent."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen
from rq import Callback, Retry
from rq.job import Dependency, validate_job_id
from rq.utils import parse_timeout, resolve_function_reference

from mediaq.queue.backoff import Backoff
from mediaq.queue.codec import compress
from mediaq.queue.wire import Part

BACK, FRONT = "back", "front"

# Characters of an argument that a job's description shows, as in RQ.
SHOWN = 75

Options = Mapping[str, Any]
Parts = tuple[Part, ...]


@frozen
class Prepared:
    """A job as its producer described it.

    Args:
        id: The job's id.
        queue: The name of its queue.
        place: Where in the queue it goes: `back` or `front`.
        rule: What becomes of a job that has its id already: `replace` it, or `refuse` this one; `free` where
            the id is a new one.
        ttl: Seconds it may wait before it is forgotten; empty: for ever.
        limit: The key and the concurrency of RQ's rate limit, or nothing.
        waits_for: The ids of the jobs that it waits for.
        allows_failure: 1 if those may fail.
        items: Names and values of its hash, but for its status.
    """

    id: str
    queue: str
    items: Parts
    place: str = BACK
    rule: str = "free"
    ttl: Part = ""
    limit: Parts = ()
    waits_for: tuple[str, ...] = ()
    allows_failure: int = 0

    def arguments(self, due: int | None = None) -> Parts:
        """Returns the job as enqueue.lua takes it.

        Args:
            due: When it is put into its queue, in seconds since the epoch; None: now.
        """
        kept_for_later: Parts = ("enqueue_at_front", 1) if due is not None and self.place == FRONT else ()
        items = self.items + kept_for_later
        return (
            *(self.id, self.place if due is None else due, self.rule, self.ttl, self.allows_failure),
            *(len(self.limit), *self.limit, len(self.waits_for), *self.waits_for, len(items)),
            *items,
        )


@frozen
class Packer:
    """Packs the jobs of one queue.

    Args:
        queue: The queue's name.
        dumps: Writes payloads and metas.
        default_timeout: Seconds that a job may run which does not say.
        backoff: How long a job waits before its retries where it does not say; None: not at all.
    """

    queue: str
    dumps: Callable[[Any], bytes]
    default_timeout: int
    backoff: Backoff | None

    def pack(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], created_at: str) -> Prepared:
        """Packs a call and RQ's arguments for it.

        Args:
            function: What to call, or its dotted path.
            args: Its positional arguments.
            kwargs: Its keyword arguments, among them RQ's own; those are taken out.
            created_at: The time, as RQ writes it.

        Raises:
            TypeError: The function cannot be called by its name, or an argument is of the wrong type.
            ValueError: One of RQ's arguments is out of its bounds.
        """
        options = _take_options(kwargs) if kwargs else {}
        if "args" in kwargs or "kwargs" in kwargs:
            args, kwargs = _explicit(args, kwargs)
        name, instance = (function, None) if isinstance(function, str) else _refer(function)
        data = compress(self.dumps((name, instance, args, kwargs)))
        shown = options.get("description") or describe(name, args, kwargs)
        items: Parts = ("created_at", created_at, "origin", self.queue, "data", data, "description", shown)
        if not options:
            return Prepared(_new_id(), self.queue, (*items, "timeout", self.default_timeout))
        return self._with_options(items, options)

    def _timeout(self, given: Any) -> int:
        timeout = _seconds(given)
        if timeout == 0:
            raise ValueError("job_timeout: 0 s are too few; -1 stands for ever")
        return timeout or self.default_timeout

    def _with_options(self, items: Parts, options: Options) -> Prepared:
        items += ("timeout", self._timeout(options.get("job_timeout")))
        for option in options.keys() & _ITEMS.keys():
            items += _ITEMS[option](options[option])
        if options.get("meta"):
            items += ("meta", self.dumps(options["meta"]))
        items += _retries(options.get("retry"), options.get("backoff"), self.backoff)
        terms, waits_for = _dependencies(options.get("depends_on", ()))
        limit = options.get("rate_limit")
        return Prepared(
            id=_job_id(options),
            queue=self.queue,
            items=items + _waiting(terms, waits_for),
            place=FRONT if options.get("at_front") else BACK,
            rule=_rule(options),
            ttl=_seconds(options.get("ttl")) or "",
            limit=(limit.key, limit.concurrency) if limit else (),
            waits_for=waits_for,
            allows_failure=int(any(each.allow_failure for each in terms)),
        )


def describe(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Returns a call as RQ's tools show it."""
    shown = [_cut(repr(value)) for value in args]
    shown += sorted(f"{key}={_cut(repr(value))}" for key, value in kwargs.items())
    return f"{name}({', '.join(shown)})"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _new_id() -> str:
    return os.urandom(16).hex()


def _refer(function: Any) -> tuple[str, Any]:
    if getattr(function, "__module__", None) == "__main__":
        raise ValueError("a worker cannot import what is defined in the module __main__")
    instance, name = resolve_function_reference(function)
    return name, instance


def _take_options(kwargs: dict[str, Any]) -> Options:
    options = {name: kwargs.pop(name) for name in OPTIONS.intersection(kwargs)}
    return {name: value for name, value in options.items() if value is not None}


def _explicit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # For functions with parameters that are named like options.
    given_args, given_kwargs = kwargs.pop("args", None), kwargs.pop("kwargs", None)
    if args or kwargs:
        raise TypeError("arguments are given either by args= and kwargs= or directly, not both")
    return tuple(given_args or ()), dict(given_kwargs or {})


def _job_id(options: Options) -> str:
    if "job_id" not in options:
        return _new_id()
    validate_job_id(options["job_id"])
    job_id: str = options["job_id"]
    return job_id


def _rule(options: Options) -> str:
    if not options.get("unique"):
        return "replace" if "job_id" in options else "free"
    if "job_id" not in options:
        raise ValueError("unique: a job is told from others by its job_id")
    return "refuse"


def _dependencies(depends_on: Any) -> tuple[list[Dependency], tuple[str, ...]]:
    """Returns the terms of depends_on, and the ids of the jobs that it names."""
    single = isinstance(depends_on, str) or not isinstance(depends_on, Iterable)
    given = [depends_on] if single else list(depends_on)
    terms = [each for each in given if isinstance(each, Dependency)]
    jobs: list[Any] = []
    for each in given:
        jobs += each.dependencies if isinstance(each, Dependency) else [each]
    return terms, tuple(_id_of(job) for job in jobs)


def _id_of(job: Any) -> str:
    # A job of RQ's or of ours has an id.
    job_id = job if isinstance(job, str) else getattr(job, "id", None)
    if not isinstance(job_id, str):
        raise TypeError(f"depends_on: {job!r} is neither a job nor the id of one")
    return job_id


def _waiting(terms: list[Dependency], waits_for: tuple[str, ...]) -> Parts:
    if not waits_for:
        return ()
    items: Parts = ("dependency_id", waits_for[0], "dependency_ids", json.dumps(waits_for))
    if not terms:
        return items
    allowed, front = (any(getattr(each, name) for each in terms) for name in _TERMS)
    return *items, "allow_dependency_failures", int(allowed), "enqueue_at_front", int(front)


def _retries(retry: Any, backoff: Backoff | None, default: Backoff | None) -> Parts:
    if isinstance(retry, Retry):
        if backoff is not None:
            raise TypeError("backoff: an rq.Retry has intervals of its own; retry= takes a number too")
        front: Parts = ("enqueue_at_front_on_retry", 1) if retry.enqueue_at_front else ()
        return "retries_left", retry.max, "retry_intervals", json.dumps(retry.intervals), *front
    times = operator.index(retry or 0)
    if times < 0 or (backoff is not None and times == 0):
        raise ValueError(f"retry: {times} times is not often enough")
    chosen = backoff or default
    intervals = chosen.intervals(times) if chosen else [0]
    return ("retries_left", times, "retry_intervals", json.dumps(intervals)) if times else ()


def _seconds(given: Any) -> int | None:
    seconds: int | None = parse_timeout(given)
    return seconds


def _kept_for(name: str) -> Callable[[Any], Parts]:
    return lambda given: (name, _seconds(given) or 0)


def _ttl(given: Any) -> Parts:
    ttl = _seconds(given) or 0
    if ttl <= 0:
        raise ValueError("ttl: a job that is forgotten at once cannot run")
    return "ttl", ttl


def _callback(event: str) -> Callable[[Any], Parts]:
    def pack(given: Any) -> Parts:
        callback = given if isinstance(given, Callback) else Callback(given)
        return f"{event}_callback_name", callback.name, f"{event}_callback_timeout", callback.timeout or 0

    return pack


def _repeat(repeat: Any) -> Parts:
    return "repeats_left", repeat.times, "repeat_intervals", json.dumps(repeat.intervals)


def _rate_limit(limit: Any) -> Parts:
    return "rate_limit_key", limit.key, "rate_limit_concurrency", limit.concurrency


def _webhooks(webhooks: Any) -> Parts:
    return ("webhooks", json.dumps([webhook.to_dict() for webhook in webhooks])) if webhooks else ()


def _refuse_pipeline(_: Any) -> Parts:
    raise TypeError("pipeline: a job is enqueued in a step of its own")


_TERMS = ("allow_failure", "enqueue_at_front")
# What an option leaves in the job's hash, where that takes nothing but the option.
_ITEMS: Mapping[str, Callable[[Any], Parts]] = {
    "result_ttl": _kept_for("result_ttl"),
    "failure_ttl": _kept_for("failure_ttl"),
    "ttl": _ttl,
    "repeat": _repeat,
    "on_success": _callback("success"),
    "on_failure": _callback("failure"),
    "on_stopped": _callback("stopped"),
    "rate_limit": _rate_limit,
    "webhooks": _webhooks,
    "pipeline": _refuse_pipeline,
}
# The keyword arguments that are not the function's; all but `backoff` are RQ's.
OPTIONS = frozenset(_ITEMS) | {
    *("job_timeout", "description", "job_id", "unique", "at_front", "depends_on", "meta", "retry", "backoff"),
}
