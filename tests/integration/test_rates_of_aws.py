"""Several processes at the limit of AWS's rate: it is used up, and hardly a call is throttled."""

import asyncio
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from house import StandIn

FOLDER = Path(__file__).parent


@frozen
class Figures:
    """What the stand-in has seen.

    Args:
        rate: Calls per second that went through, from the first to the last.
        throttled: The share of the calls that were throttled.
    """

    rate: float
    throttled: float


@pytest.fixture
def standin(standin: StandIn) -> Iterator[StandIn]:
    """The session's stand-in, without limits of rates in the end."""
    yield standin
    limit(standin)


def limit(standin: StandIn, **limits: Any) -> None:
    httpx.put(f"{standin.url}/_standin/limits", json=limits).raise_for_status()


async def call_from_processes(env: dict[str, str], processes: int, coroutines: int, seconds: float) -> None:
    command = [sys.executable, "-m", "callers", str(coroutines), str(seconds)]
    running = [
        await asyncio.create_subprocess_exec(*command, cwd=FOLDER, env={**os.environ, **env})
        for _ in range(processes)
    ]
    assert await asyncio.gather(*(process.wait() for process in running)) == [0] * processes


def figures(standin: StandIn, *, after: float = 0) -> Figures:
    """Looks at the calls from some seconds after the first one on."""
    calls = [(datetime.fromisoformat(call["at"]).timestamp(), call["error"]) for call in standin.calls()]
    calls = [(at, error) for at, error in calls if at >= calls[0][0] + after]
    took = calls[-1][0] - calls[0][0]
    passed = sum(error is None for _, error in calls)
    return Figures((passed - 1) / took, 1 - passed / len(calls))


@pytest.fixture
def env(redis_url: str, aws_env: dict[str, str]) -> dict[str, str]:
    return {**aws_env, "REDIS_URL": redis_url, "MEDIAQ_LIMITS__RATES": "comprehend.DetectSentiment=20"}


@pytest.mark.parametrize("burst_seconds", [1, 0.25])
async def test_two_processes_use_up_the_rate_and_are_not_throttled(
    standin: StandIn, env: dict[str, str], burst_seconds: float
) -> None:
    limit(standin, rates={"DetectSentiment": 20}, burst_seconds=burst_seconds)
    await call_from_processes(env, processes=2, coroutines=10, seconds=8)
    found = figures(standin)
    assert found.rate >= 0.95 * 20
    assert found.throttled < 0.02


async def test_where_aws_grants_less_than_was_said_callers_settle_near_it(
    standin: StandIn, env: dict[str, str]
) -> None:
    env["MEDIAQ_LIMITS__RATES"] = "comprehend.DetectSentiment=40"
    limit(standin, rates={"DetectSentiment": 20})
    await call_from_processes(env, processes=2, coroutines=10, seconds=15)
    found = figures(standin, after=4)
    assert found.rate >= 0.7 * 20
    assert found.throttled < 0.1
