"""What becomes of an open job that no living worker holds, by what Redis knows of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from mediaq.model import JobStatus, OpenJob
from mediaq.queue.dates import written
from mediaq.queue.seen import Seen
from mediaq.settings import Settings
from mediaq.verdict import Close, Doubt, Leave, Push, Verdict, decide

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PUSH = written(NOW)
JOB = OpenJob(
    id="job-1", type="image-processing", user_id="user-1", status="waiting", progress={}, attempts=0,
    max_attempts=3, deaths=0, died_of_push="", fence=0, accepted_at=NOW, due_at=None,
)  # fmt: skip
SEEN = Seen(push=PUSH)
ABANDONED = "Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-11-01"
TERMINATED = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9);"
STUCK = "Job was stuck in intermediate queue."


def decided(job: dict[str, Any], **seen: Any) -> Verdict:
    return decide(attrs.evolve(JOB, **job), attrs.evolve(SEEN, **seen), Settings(), NOW)


@pytest.mark.parametrize("job", JobStatus)
@pytest.mark.parametrize("status", ["deferred", "created", "rate_limited", "ready_to_enqueue"])
def test_a_job_that_rq_will_run_by_itself_is_left_alone(job: JobStatus, status: str) -> None:
    assert decided({"status": job}, status=status) == Leave()


@pytest.mark.parametrize("status", ["", "finished"])
@pytest.mark.parametrize("job", ["waiting", "active", "delayed"])
def test_a_job_that_redis_does_not_have_open_is_pushed(job: str, status: str) -> None:
    assert decided({"status": job}, status=status) == Push()


@pytest.mark.parametrize(("status", "reason"), [("stopped", "stopped"), ("canceled", "cancelled")])
def test_a_job_that_was_ended_with_rqs_tools_is_closed(status: str, reason: str) -> None:
    assert decided({"status": "active"}, status=status) == Close(reason)


@pytest.mark.parametrize("status", ["finished", "failed", "stopped", "canceled"])
def test_how_a_job_ended_before_it_was_opened_again_does_not_count(status: str) -> None:
    assert decided({"opening": 2}, status=status, opening=1) == Push()
    assert decided({"opening": 2}, status=status, opening=2) == decided({}, status=status)


@pytest.mark.parametrize(
    ("listed", "age", "decision"),
    [(True, 3600, Leave()), (False, 59, Leave()), (False, 60, Leave()), (False, 61, Doubt())],
)
@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_a_job_that_has_not_moved_for_a_minute_is_searched_for(
    status: str, listed: bool, age: int, decision: Verdict
) -> None:
    pushed = written(NOW - timedelta(seconds=age))
    assert decided({}, status=status, listed=listed, push=pushed) == decision


@pytest.mark.parametrize("status", ["", "queued", "scheduled", "failed"])
def test_a_delayed_job_is_left_alone_until_it_is_due(status: str) -> None:
    old = written(NOW - timedelta(hours=1))
    delayed = {"status": JobStatus.DELAYED, "due_at": NOW + timedelta(seconds=1)}
    assert decided(delayed, status=status, push=old) == Leave()
    assert decided({**delayed, "due_at": NOW}, status=status, push=old) != Leave()


@pytest.mark.parametrize("push", ["", "yesterday"])
def test_a_queued_job_of_which_nobody_knows_since_when_is_searched_for(push: str) -> None:
    assert decided({}, status="queued", push=push) == Doubt()


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
        {
            "status": "failed",
            "error": "FileNotFoundError: [Errno 2] No such file: 'config.toml'",
        },
    ],
    ids=["silent", "abandoned", "terminated", "stuck", "not able to start", "without its files"],
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
    assert given_up.reason == "gave up after 4 workers died or could not start it"
    assert given_up.trace == seen.get("error", "no sign of life")


def test_a_failure_without_a_reason_is_one_that_names_none() -> None:
    given_up = decided({"deaths": 3}, status="failed")
    assert isinstance(given_up, Close)
    assert given_up.trace == "no reason on record"


@pytest.mark.parametrize("job", ["waiting", "active", "delayed"])
@pytest.mark.parametrize(
    "error",
    [
        "mediaq.errors.DependencyAway: Postgres stayed away for 150 s",
        "asyncpg.exceptions.ConnectionDoesNotExistError: connection was closed in the middle of operation",
        "asyncpg.exceptions.CannotConnectNowError: the database system is starting up",
        "asyncpg.exceptions._base.InterfaceError: connection is closed",
        "ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)",
        "OSError: Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0), [Errno 111] ...",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "TimeoutError",
    ],
)
def test_a_server_that_was_away_uses_up_neither_an_attempt_nor_a_worker(job: str, error: str) -> None:
    for deaths in (0, 9):
        assert decided({"status": job, "deaths": deaths}, status="failed", error=error) == Push(unused=True)


def test_rqs_own_timeout_is_an_outage_only_where_the_end_could_not_be_put_on_record() -> None:
    """An attempt has a timeout of its own, before RQ's."""
    seen = {
        "status": "failed",
        "error": "rq.timeouts.JobTimeoutException: Task exceeded maximum timeout",
    }
    assert decided({"status": "active"}, **seen) == Push(unused=True)
    assert decided({"status": "waiting"}, **seen) == Push(death=True)


@pytest.mark.parametrize("error", ["ValueError: TimeoutError", "Timeout", "shop.TimeoutError: no", ""])
def test_only_the_name_of_the_error_tells_an_outage(error: str) -> None:
    assert decided({}, status="failed", error=error) == Push(death=True)


def test_a_death_that_is_counted_already_does_not_bring_the_limit_nearer() -> None:
    """Whoever counted it did not live to push the job."""
    died = {"status": "failed", "error": TERMINATED}
    assert decided({"deaths": 3, "died_of_push": PUSH}, **died) == Push(death=True)
    assert decided({"deaths": 3, "died_of_push": "an earlier one"}, **died) != Push(death=True)
    assert decided({"deaths": 3}, **died, push="") != Push(death=True)
