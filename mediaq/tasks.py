"""The functions whose names stand in Redis; every RQ worker calls them with a job's id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rq import get_current_job
from rq.job import Job as RQJob

from mediaq.announcements import announce
from mediaq.errors import JobFailed
from mediaq.logs import setup_logs
from mediaq.model import Announcement
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.queue.kept import kept
from mediaq.resources import Resources, open_resources
from mediaq.settings import load_settings
from mediaq.telemetry import telemetry
from mediaq.telemetry.spans import CARRIED

# What a worker keeps the resources of its jobs as.
KEPT_AS = "mediaq"


async def process_image(job_id: str) -> dict[str, Any]:
    """Analyses an image."""
    return await _run("image-processing", job_id)


async def process_video(job_id: str) -> dict[str, Any]:
    """Analyses a video."""
    return await _run("video-processing", job_id)


async def analyze_text(job_id: str) -> dict[str, Any]:
    """Analyses a text."""
    return await _run("text-analysis", job_id)


async def generate_embedding(job_id: str) -> dict[str, Any]:
    """Embeds a text, an image or a video."""
    return await _run("embedding-generation", job_id)


async def _run(queue: str, job_id: str) -> dict[str, Any]:
    rq_job = get_current_job()
    async with kept(KEPT_AS, open_for_jobs) as resources:
        carried = _carried(rq_job)

        async def tell(told: Announcement) -> None:
            if rq_job is not None and told.progress is not None:
                # A stock worker writes its own copy of the meta back when it schedules a retry.
                rq_job.meta["progress"] = dict(told.progress)
            await announce(resources.redis, told, carried)

        tracer = resources.telemetry.tracer
        try:
            with tracer.span(f"run {queue}", "consumer", parent=carried, mediaq_job_id=job_id):
                return await run_job(resources.tools, PIPELINES[queue], job_id, tell)
        except JobFailed as failure:
            if rq_job is not None:
                _set_retries(rq_job, failure)
            raise


@asynccontextmanager
async def open_for_jobs() -> AsyncIterator[Resources]:
    """Opens what jobs work with, as the settings say; a worker that runs many at once keeps it for all."""
    settings = load_settings()
    setup_logs(settings.logs)
    async with (
        kept(telemetry.KEPT_AS, telemetry.open_as_set) as told,
        open_resources(settings, told) as resources,
    ):
        yield resources


def _carried(rq_job: RQJob | None) -> dict[str, str]:
    """Returns what stands beside a job so that its attempts go on with one trace."""
    return {} if rq_job is None else {name: rq_job.meta[name] for name in CARRIED if name in rq_job.meta}


def _set_retries(rq_job: RQJob, failure: JobFailed) -> None:
    # Postgres alone counts attempts; the worker that called us reads them off its job when we raise.
    rq_job.retries_left = failure.attempts_left
    rq_job.retry_intervals = [failure.delay or 0] * failure.attempts_left
