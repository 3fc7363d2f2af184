"""Asynchronous jobs at once, counted by all workers: who gets a place, and when it comes free."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from mediaq.aws import places as module
from mediaq.aws.places import Places
from mediaq.errors import ProviderJobFailed, Refused, Unanswered
from mediaq.shared_limits import SharedLimits

pytest_plugins = ["queue_fixtures"]

KEY = "mediaq:places:eu-west-1:video"

Make = Callable[[int], Places]


@pytest.fixture
def make(redis: AsyncRedis) -> Make:
    """Makes what one process has, which knows of the others by Redis only."""
    return lambda most: Places(SharedLimits(redis), "eu-west-1", {"video": most, "speech": most})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times in which a test may see a place lapse."""
    for name, seconds in (("KEPT", 0.6), ("RENEW", 0.1), ("STEP", 0.02), ("SELDOM", 0.2)):
        monkeypatch.setattr(module, name, seconds)


def held(sync: Redis) -> set[str]:
    names: list[Any] = sync.zrange(KEY, 0, -1)
    return {name.decode() for name in names}


async def test_no_more_hold_a_place_than_there_are(make: Make, sync: Redis) -> None:
    first, second = make(2), make(2)
    waits = [await places.take("video", f"job-{n}") for n, places in enumerate([first, second] * 3)]
    assert waits[:2] == [0, 0]
    assert all(waits[2:])
    assert held(sync) == {"job-0", "job-1"}


async def test_those_further_back_ask_less_often(make: Make) -> None:
    places = make(1)
    waits = [await places.take("video", f"job-{n}") for n in range(100)]
    assert waits[:4] == [0, 0.5, 1, 1.5]
    assert waits[-1] == 15


async def test_kinds_have_places_of_their_own(make: Make) -> None:
    places = make(1)
    assert await places.take("video", "job-1") == 0
    assert await places.take("speech", "job-2") == 0


async def test_another_attempt_takes_over_the_same_place(make: Make, sync: Redis) -> None:
    assert await make(1).take("video", "job-1") == 0
    assert await make(1).take("video", "job-1") == 0
    assert held(sync) == {"job-1"}


async def test_a_free_place_goes_to_who_has_waited_longest(make: Make) -> None:
    places = make(1)
    for name in ("holder", "first", "second"):
        await places.take("video", name)
    await places.leave("video", "holder")
    assert await places.take("video", "second") > 0
    assert await places.take("video", "late") > 0
    assert await places.take("video", "first") == 0


async def test_who_waits_and_is_not_heard_of_holds_up_nobody(make: Make, quick: None) -> None:
    places = make(1)
    for name in ("holder", "gone", "patient"):
        await places.take("video", name)
    await places.leave("video", "holder")
    async with asyncio.timeout(5), places.place("video", "patient"):
        assert await places.take("video", "gone") > 0


async def test_a_dead_workers_place_comes_free(make: Make, quick: None) -> None:
    await make(1).take("video", "job-1")
    places = make(1)
    async with asyncio.timeout(5), places.place("video", "job-2"):
        assert await places.take("video", "job-3") > 0


async def test_a_place_is_kept_while_its_block_runs(make: Make, quick: None, sync: Redis) -> None:
    places = make(1)
    async with places.place("video", "job-1"):
        await asyncio.sleep(1)
        assert held(sync) == {"job-1"}
    assert held(sync) == set()


async def test_a_running_jobs_place_is_on_record_again_after_redis_was_emptied(
    make: Make, quick: None, sync: Redis
) -> None:
    async with make(1).place("video", "job-1"):
        sync.flushall()
        await asyncio.sleep(0.3)
        assert held(sync) == {"job-1"}


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (Refused("no video", "Bad"), False),
        (ProviderJobFailed("an internal failure", "JobFailed"), False),
        (Unanswered("no answer", "Timeout"), True),
        (asyncio.CancelledError(), True),
    ],
)
async def test_a_place_is_kept_as_long_as_the_job_may_run(
    make: Make, sync: Redis, error: BaseException, kept: bool
) -> None:
    with pytest.raises(type(error)):
        async with make(1).place("video", "job-1"):
            raise error
    assert held(sync) == ({"job-1"} if kept else set())


async def test_who_waits_for_a_place_gives_way_meanwhile(make: Make, quick: None) -> None:
    places, seen = make(1), []

    @asynccontextmanager
    async def parked() -> AsyncIterator[None]:
        seen.append("gives way")
        yield
        seen.append("is back")

    async def run(name: str) -> None:
        async with places.place("video", name, parked):
            seen.append(name)
            await asyncio.sleep(0.1)

    await places.take("video", "first")
    await asyncio.gather(run("first"), run("second"))
    assert seen == ["first", "gives way", "is back", "second"]


async def test_many_jobs_all_run_and_never_more_than_there_are_places(make: Make, quick: None) -> None:
    running, most = 0, 0

    async def run(number: int) -> None:
        nonlocal running, most
        async with make(3).place("video", f"job-{number}"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1

    async with asyncio.timeout(20):
        await asyncio.gather(*map(run, range(30)))
    assert most == 3


async def test_leaving_twice_or_without_a_place_changes_nothing(make: Make, sync: Redis) -> None:
    places = make(2)
    await places.take("video", "job-1")
    for name in ("job-2", "job-2", "unknown"):
        await places.leave("video", name)
    assert held(sync) == {"job-1"}


async def test_without_redis_jobs_are_started_all_the_same() -> None:
    async with AsyncRedis(port=1) as redis:
        places = Places(SharedLimits(redis), "eu-west-1", {"video": 1})
        for name in ("job-1", "job-2"):
            async with asyncio.timeout(5), places.place("video", name):
                pass
