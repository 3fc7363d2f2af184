"""An operation and a pipeline as data: a new operation is one value, a new pipeline one module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import httpx
from attrs import field, frozen
from redis.asyncio import Redis

from mediaq.aws.clients import Aws
from mediaq.aws.limits import Limits
from mediaq.model import Charge, Job, TaskStatus
from mediaq.pipelines.clock import Clock
from mediaq.pipelines.converter import Converter
from mediaq.pipelines.flights import Flights
from mediaq.pipelines.holds import Holds
from mediaq.pipelines.inflight import Inflight
from mediaq.pipelines.notices import Notices
from mediaq.settings import Settings
from mediaq.store.pool import Store
from mediaq.telemetry.telemetry import Telemetry

T = TypeVar("T")
Request = Mapping[str, Any]
Answer = Mapping[str, Any]
Results = Mapping[str, Any]


@frozen
class Tools:
    """What operations work with; opened and closed by the composition root.

    Args:
        settings: The settings.
        store: Postgres.
        aws: AWS's clients.
        redis: Redis, for short commands.
        http: A client for providers other than AWS.
        inflight: Sees through what must not be cut short.
        holds: Queues that no job should be claimed of for now.
        limits: What providers let the account do, kept by all workers together.
        converter: Makes JPEGs of images that AWS does not take as they are.
        notices: Wakes what waits for asynchronous jobs of AWS's.
        telemetry: Told of what is done.
        flights: Calls under way here that other jobs want, too.
    """

    settings: Settings
    store: Store
    aws: Aws
    redis: Redis
    http: httpx.AsyncClient
    inflight: Inflight
    holds: Holds
    limits: Limits
    converter: Converter
    notices: Notices
    telemetry: Telemetry
    flights: Flights = field(factory=Flights)


@frozen
class Work:
    """One operation of one started job.

    Args:
        job: The job, with the fence of this start.
        operation: The operation's name.
        tools: Clients, store and settings.
        results: Results of the operations that this one needs, by operation.
        patience: Seconds to go on repeating what fails for now.
        report: Tells how the operation stands, in a few words.
        clock: The attempt's time; stands still while the job is parked.
        shared: What this job's operations share, by name.
    """

    job: Job
    operation: str
    tools: Tools
    results: Results
    patience: float
    report: Callable[[TaskStatus, str], None]
    clock: Clock
    shared: dict[str, asyncio.Task[Any]]

    @property
    def bucket(self) -> str:
        """The bucket that the media is in."""
        return self.tools.settings.aws.bucket

    async def share(self, name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Makes something for all of the job's operations; what failed is made again for the next that asks.

        Args:
            name: What it is shared as.
            make: Makes it.
        """
        found = self.shared.get(name)
        if found is None or _failed(found):
            found = self.shared[name] = asyncio.create_task(make())
        made: T = await asyncio.shield(found)
        return made


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


Perform = Callable[[Work], Awaitable[Any]]
# The calls that a request comes to at most, each priced as the month's first.
Estimate = Callable[[Request, Settings], Iterable[Charge]]


def nothing(request: Request) -> tuple[str, ...]:  # noqa: ARG001 - the shape of Operation.needs
    """Says that an operation needs no other."""
    return ()


def free(request: Request, settings: Settings) -> tuple[Charge, ...]:  # noqa: ARG001 - the shape of Estimate
    """Says that an operation costs nothing."""
    return ()


@frozen
class Operation:
    """Something that is done to a media item.

    Args:
        name: How callers ask for it.
        result: The key of its result.
        perform: Does it, records it and returns the result.
        estimate: The calls that it takes at most, each answered the first time, as far as the request tells.
        needs: The operations whose results it needs, given the request.
        parameters: What callers may say of it; None: nothing but that they want it.
        example: What a caller may say of it: true, or parameters as they stand in a request.
    """

    name: str
    result: str
    perform: Perform
    estimate: Estimate
    needs: Callable[[Request], tuple[str, ...]] = nothing
    parameters: type | None = None
    example: bool | Mapping[str, Any] = True


def by_name(request: Request) -> tuple[str, ...]:
    """Says that a request names its operations, each by `true` or by an object, however empty."""
    return tuple(name for name, asked in request["operations"].items() if asked is not False)


def by_result_key(results: Results) -> dict[str, Any]:
    """Says that a pipeline's results are those of its operations, each under its key."""
    return dict(results)


def no_objects(settings: Settings, job_id: str) -> tuple[str, ...]:  # noqa: ARG001 - the shape of Pipeline.objects
    """Says that a pipeline's jobs put nothing into the bucket."""
    return ()


def admit_all(request: Request, settings: Settings) -> None:
    """Says that whatever a request may ask for, the settings allow."""


@frozen
class Pipeline:
    """A job type: its queue, its task, and what it can do.

    Args:
        queue: The job type and the name of its queue.
        task: Dotted path of the function that RQ's workers call.
        description: RQ's description of its jobs.
        request: The type that requests are decoded to and checked by.
        operations: What it can do.
        asked: The operations that a request names.
        outcome: What a job returns, from its operations' results by result key.
        metadata: What a job adds to its media item, from what it returns.
        noted: What its operations put on record beside their results, by name: added to the media item too.
        objects: What the keys of all objects begin with that a job puts into the bucket; no other job's do.
        admit: Raises NotAdmitted where a request asks for what the settings do not allow.
        example: A request as callers send it, but for the operations.
    """

    queue: str
    task: str
    description: str
    request: type
    operations: tuple[Operation, ...]
    asked: Callable[[Request], tuple[str, ...]] = by_name
    outcome: Callable[[Results], dict[str, Any]] = by_result_key
    metadata: Callable[[Results], dict[str, Any]] = by_result_key
    noted: tuple[str, ...] = ()
    objects: Callable[[Settings, str], tuple[str, ...]] = no_objects
    admit: Callable[[Request, Settings], None] = admit_all
    example: Mapping[str, Any] = field(factory=dict)

    def operation(self, name: str) -> Operation:
        """Returns the operation of that name.

        Raises:
            KeyError: There is none.
        """
        return {operation.name: operation for operation in self.operations}[name]

    def planned(self, request: Request) -> tuple[str, ...]:
        """Returns a job's operations: those asked for and those that they need, in the pipeline's order."""
        wanted = set(self.asked(request))
        needed = {need for name in wanted for need in self.operation(name).needs(request)}
        return tuple(operation.name for operation in self.operations if operation.name in wanted | needed)

    def estimate(self, request: Request, settings: Settings, done: Iterable[str] = ()) -> Decimal:
        """Returns what a job costs at most by the price list in force, in US dollars.

        Calls whose answers are lost are made again, and are not foreseen.

        Args:
            request: The validated request.
            settings: Models, and how much is assumed of what a request does not tell.
            done: Operations whose results are on record, which are not called again.
        """
        left = set(self.planned(request)) - set(done)
        charges = (charge for name in left for charge in self.operation(name).estimate(request, settings))
        return sum((charge.amount for charge in charges), Decimal(0))
