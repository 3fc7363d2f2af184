"""How long a job waits before each of its retries."""

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from rq import Retry
from rq.job import Job

from mediaq.queue.backoff import LONGEST, Backoff


@pytest.mark.parametrize(
    ("first", "waits"),
    [(2, [2, 4, 8, 16]), (5, [5, 10, 20, 40]), (0, [0, 0, 0, 0]), (0.6, [1, 1, 2, 5]), (0.2, [1, 1, 1, 2])],
)
def test_each_wait_is_twice_the_one_before_and_none_but_0_becomes_0(first: float, waits: list[int]) -> None:
    assert Backoff(first).intervals(4) == waits


def test_waits_stop_growing_at_the_ceiling() -> None:
    assert Backoff(3, ceiling=10).intervals(4) == [3, 6, 10, 10]
    assert Backoff(30, ceiling=10).intervals(2) == [10, 10]


def test_jitter_lengthens_each_wait_at_random_by_at_most_its_share_at_the_ceiling_too() -> None:
    backoff = Backoff(100, ceiling=150, jitter=0.5)
    assert backoff.intervals(3, random=lambda: 0.0) == [100, 150, 150]
    assert backoff.intervals(3, random=lambda: 1.0) == [150, 225, 225]
    drawn = [backoff.intervals(2) for _ in range(200)]
    assert len({first for first, _ in drawn}) > 10
    assert all(100 <= first <= 150 <= second <= 225 for first, second in drawn)


def test_however_many_retries_every_wait_ends_on_a_date_that_python_knows() -> None:
    waits = Backoff(86400, jitter=1).intervals(5000)
    assert max(waits) <= 2 * LONGEST
    assert datetime.now(UTC) + timedelta(seconds=max(waits))


@pytest.mark.parametrize(
    "arguments", [{"first": -1}, {"first": float("inf")}, {"ceiling": -1}, {"jitter": 1.1}, {"jitter": -0.1}]
)
def test_what_is_out_of_bounds_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Backoff(**{"first": 1, **arguments})


def test_rq_waits_before_each_retry_as_told() -> None:
    retry = Retry(max=3, interval=Backoff(2).intervals(3))
    job = Job.create("foreign.shout", connection=Redis(), origin="any")
    job.retry_intervals = retry.intervals
    waits = []
    for left in (3, 2, 1):
        job.retries_left = left
        waits.append(job.get_retry_interval())
    assert waits == [2, 4, 8]
