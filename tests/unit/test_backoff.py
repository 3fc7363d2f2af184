"""How long a job waits before its next attempt."""

import pytest

from mediaq.pipelines.backoff import delay_before
from mediaq.settings import Queue


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [(2.0, [2, 4, 8, 16]), (5.0, [5, 10, 20, 40]), (0.0, [0, 0, 0, 0]), (0.6, [1, 1, 2, 5])],
)
def test_each_wait_is_twice_the_one_before(backoff: float, delays: list[int]) -> None:
    queue = Queue(backoff=backoff)
    assert [delay_before(queue, attempt) for attempt in (2, 3, 4, 5)] == delays


def test_jitter_lengthens_a_wait_at_random_by_at_most_its_share() -> None:
    queue = Queue(backoff=100.0, jitter=0.5)
    waits = {delay_before(queue, 2) for _ in range(200)}
    assert 100 <= min(waits) < 115
    assert 135 < max(waits) <= 150
