"""What a job costs at most once its worker has seen the content: in its budgets, or not paid for at all."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from mediaq.errors import OverBudget, Refused
from mediaq.pipelines.operation import Work
from mediaq.store import budgets


async def keep_to_budget(work: Work, estimate: Decimal) -> None:
    """Puts on record what the job costs at most, before its first call that may be billed.

    What was estimated when it was accepted went by what the request told. All of the job's operations have
    one answer.

    Args:
        work: The operation.
        estimate: What the whole job costs at most by what is known of its content now, in US dollars.

    Raises:
        Refused: A budget that it was accepted under has no room for it.
        FenceLost: Another worker has started the job since.
    """
    if (over := await work.share("budget", partial(_revise, work, estimate))) is not None:
        raise Refused(f"{over}; nothing was called", "OverBudget")


async def _revise(work: Work, estimate: Decimal) -> OverBudget | None:
    store = work.tools.store
    try:
        await store.link.outlast(lambda: budgets.revise(store, work.job, estimate))
    except OverBudget as over:
        return over
    return None
