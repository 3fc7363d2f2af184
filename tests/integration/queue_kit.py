"""A job to push, and RQ's own worker to run it."""

from penalty import Penalty
from redis import Redis
from rq import SimpleWorker

from mediaq.queue.queue import QueuedJob

NAME = "image-processing"
JOB = QueuedJob(
    id="job-1",
    function="foreign.shout",
    args=("hé",),
    description="process-image",
    timeout=300,
    result_ttl=3600,
    failure_ttl=86400,
    retries_left=2,
    retry_intervals=(2, 4),
    meta={"progress": {"current": 0, "total": 1}},
)


class Worker(SimpleWorker):
    """RQ's own worker, with the timeouts that it uses where there are no signals."""

    death_penalty_class = Penalty


def work(sync: Redis) -> None:
    """Run all that is queued by RQ's own worker."""
    Worker([NAME], connection=sync).work(burst=True, logging_level="ERROR")
