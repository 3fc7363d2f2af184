"""Calls per second that callers in several processes keep together: their order, their pace, and outages."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from cuttable import Cuttable
from loguru import logger
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from mediaq.aws.rates import Rates
from mediaq.shared_limits import SharedLimits

pytest_plugins = ["queue_fixtures"]

OPERATION = "comprehend.DetectSentiment"
KEY = f"mediaq:rate:eu-west-1:{OPERATION}"

Make = Callable[[float], Rates]


@pytest.fixture
def make(redis: AsyncRedis) -> Make:
    """Makes what one process has, which knows of the others by Redis only."""
    return lambda rate: _rates(redis, rate)


def _rates(redis: AsyncRedis, rate: float) -> Rates:
    return Rates(SharedLimits(redis), "eu-west-1", {OPERATION: rate}, 1.0)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(sink)


async def pass_all(*callers: Rates, calls: int) -> list[float]:
    """Has the callers take turns at the same time; returns the seconds after which each went on."""
    began = time.monotonic()

    async def go(rates: Rates) -> float:
        await rates.turn(OPERATION)
        return time.monotonic() - began

    return sorted(await asyncio.gather(*(go(callers[n % len(callers)]) for n in range(calls))))


async def drawn(sync: Redis, tickets: int) -> None:
    """Waits until so many tickets have been drawn."""
    async with asyncio.timeout(5):
        while float(sync.hget(KEY, "issued") or 0) < tickets:  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.001)


async def test_all_processes_together_keep_the_rate(make: Make) -> None:
    passed = await pass_all(make(100), make(100), calls=60)
    # The first ten may go at once: a tenth of a second's worth.
    assert passed[-1] - passed[9] == pytest.approx(0.5, abs=0.06)
    for first, later in zip(passed, passed[20:], strict=False):
        assert later - first > 0.08


async def test_after_a_pause_no_more_go_at_once_than_before(make: Make) -> None:
    rates = make(20)
    await pass_all(rates, calls=2)
    await asyncio.sleep(0.5)
    passed = await pass_all(rates, calls=4)
    assert passed[1] < 0.04 <= passed[2]


async def test_who_comes_first_goes_first(make: Make, sync: Redis) -> None:
    order: list[int] = []
    callers = make(10), make(10)

    async def go(number: int) -> None:
        await callers[number % 2].turn(OPERATION)
        order.append(number)

    tasks = []
    for number in range(12):
        tasks.append(asyncio.create_task(go(number)))
        await drawn(sync, number + 1)
    await asyncio.gather(*tasks)
    assert order == list(range(12))


async def test_one_that_gives_up_wastes_its_own_time_only(make: Make, sync: Redis) -> None:
    rates = make(10)
    await rates.turn(OPERATION)
    began = time.monotonic()
    gone = asyncio.create_task(rates.turn(OPERATION))
    await drawn(sync, 2)
    after = asyncio.create_task(rates.turn(OPERATION))
    await drawn(sync, 3)
    gone.cancel()
    await after
    assert time.monotonic() - began == pytest.approx(0.2, abs=0.04)


async def test_one_that_waits_can_be_cancelled_at_any_moment(make: Make) -> None:
    rates = make(1000)
    await rates.turn(OPERATION)

    async def go_on_and_on() -> None:
        while True:
            await rates.turn(OPERATION)

    for rounds in range(100):
        task = asyncio.create_task(go_on_and_on())
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        assert task.cancelled()


async def test_a_long_wait_is_parked_and_ends_before_the_turn_comes(make: Make, sync: Redis) -> None:
    rates = make(1)
    parked: list[str] = []
    back: list[float] = []

    def park(name: str) -> Callable[[], AbstractAsyncContextManager[None]]:
        @asynccontextmanager
        async def parking() -> AsyncIterator[None]:
            parked.append(f"{name} gives way")
            yield
            parked.append(f"{name} is back")
            back.append(time.monotonic())

        return parking

    async def go(name: str) -> None:
        await rates.turn(OPERATION, park(name))
        parked.append(f"{name} goes")

    tasks = []
    for number, name in enumerate(("first", "second", "third", "fourth"), 1):
        tasks.append(asyncio.create_task(go(name)))
        await drawn(sync, number)
    await asyncio.gather(*tasks)
    own = {name: [line for line in parked if line.startswith(name)] for name in ("first", "second", "fourth")}
    assert own["first"] == ["first goes"]
    assert own["second"] == ["second goes"]
    assert own["fourth"] == ["fourth gives way", "fourth is back", "fourth goes"]
    assert time.monotonic() - back[-1] == pytest.approx(1.5, abs=0.2)


async def test_one_that_is_late_draws_another_ticket(make: Make, sync: Redis) -> None:
    """Its call would otherwise meet those of others whose turn it is."""
    rates = make(10)

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(2.5)

    await rates.turn(OPERATION)
    tasks = [asyncio.create_task(rates.turn(OPERATION)) for _ in range(21)]
    await drawn(sync, 22)
    late = asyncio.create_task(rates.turn(OPERATION, slow))
    await drawn(sync, 23)
    tasks += [asyncio.create_task(rates.turn(OPERATION)) for _ in range(13)]
    await asyncio.gather(*tasks)
    await late
    assert float(sync.hget(KEY, "issued") or 0) == 37


async def ask(redis: AsyncRedis, rate: float, ticket: str = "") -> tuple[int, float]:
    found, delay = await SharedLimits(redis).run(("rate", "turn"), (KEY,), (rate, 1, ticket, 0.5))
    return found, delay / 1e6


async def test_throttled_answers_cut_the_rate_for_everybody_once_a_second(
    make: Make, redis: AsyncRedis, sync: Redis
) -> None:
    first, second = make(10), make(10)
    await asyncio.gather(*(rates.throttled(OPERATION) for rates in (first, second) for _ in range(5)))
    assert float(sync.hget(KEY, "share") or 0) == pytest.approx(0.7)
    delays = [(await ask(redis, 10))[1] for _ in range(3)]
    assert delays[2] - delays[1] == pytest.approx(1 / 7, abs=0.01)
    passed_by(sync, 1)
    await second.throttled(OPERATION)
    assert float(sync.hget(KEY, "share") or 0) == pytest.approx((0.7 + 1 / 60) * 0.7, abs=0.001)


async def test_the_rate_recovers_evenly_within_a_minute(redis: AsyncRedis, sync: Redis, make: Make) -> None:
    rates = make(10)
    for _ in range(30):
        await rates.throttled(OPERATION)
        passed_by(sync, 1)
    assert float(sync.hget(KEY, "share") or 0) < 0.1
    await ask(redis, 10)
    before = (await ask(redis, 10))[1]
    passed_by(sync, 30)
    halfway = [(await ask(redis, 10))[1] for _ in range(3)]
    passed_by(sync, 30)
    whole = [(await ask(redis, 10))[1] for _ in range(3)]
    assert before > 1
    assert halfway[2] - halfway[1] == pytest.approx(1 / (10 * 0.55), rel=0.1)
    assert whole[2] - whole[1] == pytest.approx(0.1, rel=0.05)


async def test_a_wait_counts_on_the_recovery(redis: AsyncRedis, sync: Redis, make: Make) -> None:
    """So that one who sleeps until its turn is there in time, and no call's time goes by unused."""
    rates = make(10)
    await rates.throttled(OPERATION)
    for _ in range(99):
        await ask(redis, 10)
    ticket, delay = await ask(redis, 10)
    passed_by(sync, delay - 0.5)
    assert (await ask(redis, 10, str(ticket)))[1] == pytest.approx(0.5, abs=0.05)


def passed_by(sync: Redis, seconds: float) -> None:
    """Lets the rate believe that so many seconds have passed."""
    for name in ("at", "cut"):
        sync.hincrbyfloat(KEY, name, -seconds)


async def test_a_clock_that_was_set_back_holds_nobody_up(make: Make, sync: Redis) -> None:
    rates = make(100)
    await rates.throttled(OPERATION)
    passed_by(sync, -3600)
    passed = await pass_all(rates, calls=20)
    assert passed[-1] - passed[0] == pytest.approx(19 / 70, rel=0.3)


async def test_a_redis_that_was_emptied_starts_anew(make: Make, sync: Redis) -> None:
    rates = make(5)
    tasks = [asyncio.create_task(rates.turn(OPERATION)) for _ in range(10)]
    await asyncio.sleep(0.05)
    sync.flushall()
    began = time.monotonic()
    await asyncio.gather(*tasks)
    assert time.monotonic() - began < 3


async def test_what_is_counted_apart_has_a_pace_of_its_own(redis: AsyncRedis, sync: Redis) -> None:
    rates = Rates(SharedLimits(redis), "eu-west-1", {"bedrock.InvokeModel": 0.01}, 1.0)
    async with asyncio.timeout(1):
        await rates.turn("bedrock.InvokeModel:text")
        await rates.turn("bedrock.InvokeModel:image")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await rates.turn("bedrock.InvokeModel:text")
    other = Rates(SharedLimits(redis), "us-east-1", {"bedrock.InvokeModel": 0.01}, 1.0)
    async with asyncio.timeout(1):
        await other.turn("bedrock.InvokeModel:text")


@pytest.mark.parametrize(
    ("operation", "region", "rate"),
    [
        ("rekognition.DetectLabels", "us-east-1", 50),
        ("rekognition.DetectLabels", "eu-central-1", 5),
        ("rekognition.DetectFaces", "eu-west-1", 100),
        ("comprehend.DetectSentiment", "eu-central-1", 20),
        ("rekognition.RecognizeCelebrities", "us-east-1", 5),
    ],
)
async def test_without_settings_the_quotas_are_awss_in_the_region(
    redis: AsyncRedis, operation: str, region: str, rate: float
) -> None:
    assert Rates(SharedLimits(redis), region, {}, 1.0).rate(operation) == rate
    assert Rates(SharedLimits(redis), region, {}, 0.5).rate(operation) == rate / 2


@asynccontextmanager
async def cut_off(redis_url: str) -> AsyncIterator[tuple[Cuttable, AsyncRedis]]:
    parts = urlsplit(redis_url)
    async with Cuttable(parts.hostname or "", parts.port or 0) as line:
        url = redis_url.replace(f":{parts.port}", f":{line.port}")
        async with AsyncRedis.from_url(url) as redis:
            yield line, redis


async def test_without_redis_each_process_keeps_the_rate_for_itself(
    redis_url: str, sync: Redis, logged: list[str]
) -> None:
    async with cut_off(redis_url) as (line, redis):
        rates = _rates(redis, 20)
        await rates.turn(OPERATION)
        await line.cut()
        passed = await pass_all(rates, calls=22)
        assert passed[-1] == pytest.approx(1, abs=0.1)
        await rates.throttled(OPERATION)
        await line.mend()
        async with asyncio.timeout(10):
            while float(sync.hget(KEY, "issued") or 0) == 1:
                await rates.turn(OPERATION)
    assert [line.split(";")[0] for line in logged] == ["WARNING Redis is away", "INFO Redis is back"]


async def test_a_silent_redis_holds_up_one_call_for_a_second(valkey_url: str) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server, AsyncRedis(port=server.sockets[0].getsockname()[1]) as redis:
        rates = _rates(redis, 1000)
        began = time.monotonic()
        await rates.turn(OPERATION)
        assert time.monotonic() - began == pytest.approx(1, abs=0.2)
        passed = await pass_all(rates, calls=50)
        assert passed[-1] < 0.3


async def test_a_key_of_another_type_holds_nobody_up(make: Make, sync: Redis, logged: list[str]) -> None:
    sync.set(KEY, "meant for something else")
    passed = await pass_all(make(100), calls=20)
    assert passed[-1] < 0.5
    assert "WRONGTYPE" in logged[0]
