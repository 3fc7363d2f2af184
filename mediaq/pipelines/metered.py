"""A metered call: on record before it is made, its result and its cost recorded together after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import stamina

from mediaq.aws.calls import call as call_aws
from mediaq.errors import NoRoom, ProviderError, TryAgain
from mediaq.model import Charge, Settled, TaskStatus
from mediaq.pipelines.operation import Call, Perform, Work
from mediaq.pipelines.price_list import prices_now
from mediaq.store import operations

T = TypeVar("T")


def once(call: Call) -> Perform:
    """Makes an operation of one billable call that is answered at once."""

    async def perform(work: Work) -> Any:
        charge = prices_now().charge(call.item, call.count(work.job.request))

        async def attempt() -> Any:
            params = call.params(work)
            async with metered(work, call.service, charge) as run:
                answer = await call_aws(work.tools.aws, call.service, call.method, **params)
            return await settled(work, run, Settled(call.read(answer), charge))

        return await patiently(work, attempt)

    return perform


@asynccontextmanager
async def metered(
    work: Work, service: str, estimate: Charge | None, token: str | None = None
) -> AsyncIterator[operations.Run]:
    """Puts a call on record, and its failure too; the caller makes it inside and settles it afterwards.

    Args:
        work: The operation.
        service: Whom the call goes to.
        estimate: What it may cost at most; None where it costs nothing.
        token: The name by which the provider knows a repeated call.

    Raises:
        FenceLost: Another worker has started the job since; the call must not be made.
    """
    run = await operations.begin(
        work.tools.store, work.job, service, work.operation, estimate=estimate, token=token
    )
    try:
        yield run
    except ProviderError as error:
        await operations.fail(work.tools.store, run, error)
        raise


async def settled(work: Work, run: operations.Run, answer: Settled) -> Any:
    """Records an answer with its cost, and returns the result."""
    await operations.settle(work.tools.store, run, answer)
    return answer.result


async def patiently(work: Work, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats what fails for now, with growing waits, until the operation's patience ends.

    Raises:
        ProviderError: What the last try raised, or a Refused at once.
    """
    aws = work.tools.settings.aws
    async for trial in stamina.retry_context(
        on=_fails_for_now,
        attempts=None,
        timeout=max(work.patience, 0.001),
        wait_initial=aws.first_wait,
        wait_max=aws.longest_wait,
        wait_jitter=aws.first_wait,
    ):
        with trial:
            if trial.num > 1:
                await work.report(TaskStatus.PROCESSING, f"try {trial.num}: the provider had no answer yet")
            return await attempt()
    raise AssertionError("stamina either returns or raises")


def _fails_for_now(error: Exception) -> bool:
    return isinstance(error, TryAgain | NoRoom)
