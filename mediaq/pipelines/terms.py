"""The terms of a job: what it costs at most, and the caps that it is accepted under."""

from __future__ import annotations

from collections.abc import Iterable

from mediaq.model import Terms
from mediaq.pipelines.operation import Pipeline, Request
from mediaq.settings import Settings


def set_terms(
    settings: Settings, pipeline: Pipeline, request: Request, user_id: str, done: Iterable[str] = ()
) -> Terms:
    """Returns the terms of a job by the settings and the price list of now.

    Args:
        settings: The settings.
        pipeline: The job's pipeline.
        request: The validated request.
        user_id: Whose it is.
        done: Operations whose results are on record, of a job that is run again.
    """
    return Terms(
        estimate=pipeline.estimate(request, settings, done),
        user_cap=settings.budgets.of_user(user_id),
        cost_center_cap=settings.budgets.of_cost_center(request.get("costCenter")),
    )
