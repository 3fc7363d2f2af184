"""What follows once the end of a job is on record: webhooks, rate limits, the callbacks of poisoned jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rq.exceptions import AbandonedJobError
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry

if TYPE_CHECKING:
    from mediaq.queue.ends import End
    from mediaq.queue.run import Run
    from mediaq.queue.worker import AsyncWorker


def settle(worker: AsyncWorker, run: Run, end: End) -> None:
    """Does what follows the end of a job that ran here; in a thread, for RQ's own code does most of it."""
    if end.status != "queued" and run.job.has_rate_limit:
        RateLimitRegistry.from_job(run.job).release_and_enqueue(run.job_id)
    if end.status in ("finished", "failed"):
        send_webhooks(worker, run.job, JobStatus(end.status), end.error)


def settle_poisoned(worker: AsyncWorker, job_ids: list[str]) -> None:
    """Does what follows the failure of jobs that too many workers died over."""
    for job_id in job_ids:
        worker.log.error("Worker %s: job %s failed: too many workers died over it", worker.name, job_id)
        try:
            job = Job.fetch(job_id, connection=worker.connection, serializer=worker.serializer)
            _call_back(worker, job)
            send_webhooks(worker, job, JobStatus.FAILED, None)
            if job.has_rate_limit:
                RateLimitRegistry.from_job(job).release_and_enqueue(job_id)
        except Exception:
            # The others have callbacks, too.
            worker.log.exception("Worker %s: what follows the failure of job %s failed", worker.name, job_id)


def send_webhooks(worker: AsyncWorker, job: Job, status: JobStatus, error: str | None) -> None:
    """Sends a job's webhooks to the hosts that are allowed; whoever writes to Redis names them."""
    for webhook in job.webhooks:
        if webhook.job_status != status:
            continue
        host = urlsplit(webhook.url).hostname
        if host in worker.options.webhook_hosts:
            webhook.send(job, exc_string=error)
        else:
            worker.log.warning(
                "Worker %s: webhook of job %s is not sent: host %s is not among the worker's webhook hosts",
                worker.name,
                job.id,
                host,
            )


def _call_back(worker: AsyncWorker, job: Job) -> None:
    error = AbandonedJobError()
    details: tuple[Any, ...] = (AbandonedJobError, error, None)
    try:
        name = job._failure_callback_name  # noqa: SLF001 - RQ's property would import it unchecked
        if name:
            worker.functions.resolve(name)(job, worker.connection, *details)
        worker.handle_exception(job, *details)
    except Exception:
        worker.log.exception("Worker %s: the failure callback of job %s failed", worker.name, job.id)
