"""What becomes of an open job that no living worker holds, by what Redis knows of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from mediaq.model import Job, JobStatus
from mediaq.queue.queue import Seen
from mediaq.reconciler import Close, Leave, Push, decide
from mediaq.settings import Settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JOB = Job(
    id="job-1", type="image-processing", user_id="ann", media_item_id="photo", cost_center=None, request={},
    status="waiting", progress={}, attempts=0, max_attempts=3, deaths=0, fence=0, result=None,
    failed_reason=None, stacktrace=[], accepted_at=NOW, due_at=None, processed_at=None, finished_at=None,
)  # fmt: skip
SEEN = Seen(status=None, listed=False, running=False, enqueued_at=NOW, error=None)
ABANDONED = "Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-11-01"
TERMINATED = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9);"
STUCK = "Job was stuck in intermediate queue."


def decided(job: dict[str, Any], **seen: Any) -> Leave | Push | Close:
    return decide(attrs.evolve(JOB, **job), attrs.evolve(SEEN, **seen), Settings(), NOW)


@pytest.mark.parametrize("job", JobStatus)
@pytest.mark.parametrize("status", ["deferred", "created", "rate_limited", "ready_to_enqueue"])
def test_a_job_that_rq_will_run_by_itself_is_left_alone(job: JobStatus, status: str) -> None:
    assert decided({"status": job}, status=status) == Leave()


@pytest.mark.parametrize("status", [None, "finished"])
@pytest.mark.parametrize("job", ["waiting", "active", "delayed"])
def test_a_job_that_redis_does_not_have_open_is_pushed(job: str, status: str | None) -> None:
    assert decided({"status": job}, status=status) == Push()


@pytest.mark.parametrize(("status", "reason"), [("stopped", "stopped"), ("canceled", "cancelled")])
def test_a_job_that_was_ended_with_rqs_tools_is_closed(status: str, reason: str) -> None:
    assert decided({"status": "active"}, status=status) == Close(reason)


@pytest.mark.parametrize(
    ("listed", "age", "decision"),
    [(True, 3600, Leave()), (False, 59, Leave()), (False, 60, Leave()), (False, 61, Push())],
)
@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_a_job_that_is_in_no_list_for_a_minute_is_lost(
    status: str, listed: bool, age: int, decision: Leave | Push
) -> None:
    pushed = NOW - timedelta(seconds=age)
    assert decided({}, status=status, listed=listed, enqueued_at=pushed) == decision


@pytest.mark.parametrize("status", [None, "queued", "scheduled", "failed"])
def test_a_delayed_job_is_left_alone_until_it_is_due(status: str | None) -> None:
    old = NOW - timedelta(hours=1)
    delayed = {"status": JobStatus.DELAYED, "due_at": NOW + timedelta(seconds=1)}
    assert decided(delayed, status=status, enqueued_at=old) == Leave()
    assert decided({**delayed, "due_at": NOW}, status=status, enqueued_at=old) != Leave()


def test_a_queued_job_in_no_list_without_a_time_is_lost() -> None:
    assert decided({}, status="queued", enqueued_at=None) == Push()


@pytest.mark.parametrize("job", ["waiting", "active", "delayed"])
def test_a_job_that_a_living_worker_runs_is_left_alone(job: str) -> None:
    assert decided({"status": job, "deaths": 9}, status="started", running=True) == Leave()


@pytest.mark.parametrize(
    "seen",
    [
        {"status": "started"},
        {"status": "failed", "error": ABANDONED},
        {"status": "failed", "error": TERMINATED},
        {"status": "failed", "error": STUCK},
        {"status": "failed", "error": "ImportError: no module"},
        {"status": "failed", "error": "ConnectionRefusedError: Postgres is away"},
    ],
    ids=["silent", "abandoned", "terminated", "stuck", "not able to start", "without the record"],
)
@pytest.mark.parametrize(
    ("job", "death"),
    [("waiting", True), ("delayed", True), ("active", False)],
    ids=["before the start", "before a further start", "in the middle, counted by the next start"],
)
def test_a_job_whose_worker_died_or_failed_to_start_it_is_pushed_up_to_the_poison_limit(
    seen: dict[str, Any], job: str, death: bool
) -> None:
    assert decided({"status": job, "deaths": 0}, **seen) == Push(death)
    assert decided({"status": job, "deaths": 2}, **seen) == Push(death)
    given_up = decided({"status": job, "deaths": 3}, **seen)
    assert isinstance(given_up, Close)
    assert given_up.reason.startswith("gave up after 4 workers died or could not start it; the last one: ")
    assert seen.get("error", "no sign of life") in given_up.reason


def test_a_failure_without_a_reason_is_one_that_names_none() -> None:
    given_up = decided({"deaths": 3}, status="failed")
    assert isinstance(given_up, Close)
    assert given_up.reason.endswith("; the last one: no reason on record")
