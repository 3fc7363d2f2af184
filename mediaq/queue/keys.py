"""Every key in Redis: RQ's, as RQ 3.0 spells them, and those of our own.

The Lua scripts spell some of RQ's themselves, for ids they find; they take both prefixes as arguments.
"""

from __future__ import annotations

from rq.defaults import RQ_KEY_PREFIX

RQ: str = RQ_KEY_PREFIX

# Of our own; apart for each of RQ's prefixes that share a server.
OURS = "mediaq" if RQ == "rq" else f"mediaq:{RQ}"

QUEUES = f"{RQ}:queues"
SUSPENDED = f"{RQ}:suspended"

# Sorted set of `JOB:EXECUTION:QUEUE`, scored by when the worker that runs it counts as dead.
LEASES = f"{OURS}:leases"
# Stream of what is told of all jobs.
EVENTS = f"{OURS}:events"
# Set of the names of paused queues.
PAUSED = f"{OURS}:paused"


def queue(name: str) -> str:
    """The list of waiting job ids."""
    return f"{RQ}:queue:{name}"


def intermediate(name: str) -> str:
    """The list where a stock worker keeps an id between taking and starting it."""
    return f"{RQ}:queue:{name}:intermediate"


def job(job_id: str) -> str:
    """The hash of one job."""
    return f"{RQ}:job:{job_id}"


def dependents(job_id: str) -> str:
    """The set of the ids of jobs that wait for this one."""
    return f"{RQ}:job:{job_id}:dependents"


def dependencies(job_id: str) -> str:
    """The set of the ids of jobs that this one waits for; RQ spells it with two colons."""
    return f"{RQ}:job::{job_id}:dependencies"


def results(job_id: str) -> str:
    """The stream of one job's results."""
    return f"{RQ}:results:{job_id}"


def executions(job_id: str) -> str:
    """The sorted set of one job's executions."""
    return f"{RQ}:executions:{job_id}"


def started(name: str) -> str:
    """The sorted set of running `JOB:EXECUTION`, scored by when they count as abandoned."""
    return f"{RQ}:wip:{name}"


def finished(name: str) -> str:
    """The sorted set of finished jobs, scored by when they are forgotten."""
    return f"{RQ}:finished:{name}"


def failed(name: str) -> str:
    """The sorted set of failed jobs, scored by when they are forgotten."""
    return f"{RQ}:failed:{name}"


def scheduled(name: str) -> str:
    """The sorted set of delayed jobs, scored by when they are due."""
    return f"{RQ}:scheduled:{name}"


def deferred(name: str) -> str:
    """The sorted set of jobs that wait for other jobs."""
    return f"{RQ}:deferred:{name}"


def canceled(name: str) -> str:
    """The sorted set of cancelled jobs."""
    return f"{RQ}:canceled:{name}"


def worker(name: str) -> str:
    """The hash of one worker."""
    return f"{RQ}:worker:{name}"


def worker_executions(name: str) -> str:
    """The set of `JOB:EXECUTION` that one worker runs."""
    return f"{RQ}:worker:{name}:executions"


def commands(worker_name: str) -> str:
    """The channel that one worker takes commands from."""
    return f"{RQ}:pubsub:{worker_name}"


def scheduler_lock(name: str) -> str:
    """The lock of whoever moves one queue's delayed jobs."""
    return f"{RQ}:scheduler-lock:{name}"


def scheduler(name: str) -> str:
    """The hash of one scheduler, by its own name."""
    return f"{RQ}:scheduler:{name}"


def trimmed(name: str) -> str:
    """The hash of how far the passes over one queue's finished jobs have got."""
    return f"{OURS}:trimmed:{name}"


def ended(name: str) -> str:
    """The sorted set of one queue's finished jobs, scored by when they ended: RQ scores by expiry."""
    return f"{OURS}:ended:{name}"


def outcomes(name: str) -> str:
    """The hash that counts how one queue's attempts ended."""
    return f"{OURS}:outcomes:{name}"


def waiting(job_id: str, execution: str) -> str:
    """Exists while an execution has not had its turn, and its worker's death does not count."""
    return f"{OURS}:waiting:{job_id}:{execution}"


def stuck(name: str) -> str:
    """The sorted set of ids in a stock worker's intermediate list, scored by when they were first seen."""
    return f"{OURS}:stuck:{name}"
