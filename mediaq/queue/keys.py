"""RQ's keys in Redis, as RQ 3.0 has them; only the Lua scripts spell some themselves, for ids they find."""

from __future__ import annotations

QUEUES = "rq:queues"


def queue(name: str) -> str:
    """The list of waiting job ids."""
    return f"rq:queue:{name}"


def intermediate(name: str) -> str:
    """The list where a stock worker keeps an id between taking and starting it."""
    return f"rq:queue:{name}:intermediate"


def job(job_id: str) -> str:
    """The hash of one job."""
    return f"rq:job:{job_id}"


def results(job_id: str) -> str:
    """The stream of one job's results."""
    return f"rq:results:{job_id}"


def executions(job_id: str) -> str:
    """The sorted set of one job's executions."""
    return f"rq:executions:{job_id}"


def started(name: str) -> str:
    """The sorted set of running `JOB:EXECUTION`, scored by when they count as abandoned."""
    return f"rq:wip:{name}"


def finished(name: str) -> str:
    """The sorted set of finished jobs, scored by when they are forgotten."""
    return f"rq:finished:{name}"


def failed(name: str) -> str:
    """The sorted set of failed jobs, scored by when they are forgotten."""
    return f"rq:failed:{name}"


def scheduled(name: str) -> str:
    """The sorted set of delayed jobs, scored by when they are due."""
    return f"rq:scheduled:{name}"


def deferred(name: str) -> str:
    """The sorted set of jobs that wait for other jobs."""
    return f"rq:deferred:{name}"
