"""Several who share a queue are served in turns, whatever takes jobs out of the plain list or empties it."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs
import pytest
from queue_kit import JOB, NAME, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from rq.job import Job

from mediaq.queue import keys
from mediaq.queue.queue import Queue
from mediaq.queue.scheduler import Scheduler

pytest_plugins = ["queue_fixtures"]

LIST = keys.queue(NAME)

Push = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def push(queue: Queue) -> Push:
    """Pushes jobs of some share, in order; returns their ids, which begin with the share's name."""
    numbers: Counter[str] = Counter()

    async def push_some(*shares: str) -> list[str]:
        ids = []
        for share in shares:
            numbers[share] += 1
            ids.append(f"{share}-{numbers[share]}")
            await queue.push(attrs.evolve(JOB, id=ids[-1], share=share))
        return ids

    return push_some


def waiting(sync: Redis) -> list[str]:
    ids: list[Any] = sync.lrange(LIST, 0, -1)
    return [job_id.decode() for job_id in ids]


def take(sync: Redis) -> str | None:
    """Takes the first job as a stock worker does."""
    job_id: Any = sync.lpop(LIST)
    if job_id is None:
        return None
    sync.hset(keys.job(job_id.decode()), "status", "started")
    return str(job_id.decode())


def shares(ids: Iterable[str]) -> str:
    return " ".join(job_id.partition("-")[0] for job_id in ids)


async def test_one_that_has_nothing_waiting_comes_next_but_one(push: Push, sync: Redis) -> None:
    await push(*["many"] * 5000)
    await push("one")
    assert waiting(sync)[:3] == ["many-1", "one-1", "many-2"]
    for _ in range(1000):
        take(sync)
    await push("two")
    assert waiting(sync).index("two-1") <= 2


async def test_those_with_one_job_each_are_served_in_the_order_they_came(push: Push, sync: Redis) -> None:
    await push(*["many"] * 50)
    ids = await push(*[f"user{n}" for n in range(30)])
    assert waiting(sync)[:32] == ["many-1", *ids, "many-2"]


async def test_two_with_many_are_served_in_turns(push: Push, sync: Redis) -> None:
    await push(*["a"] * 300)
    await push(*["b"] * 100)
    order = waiting(sync)
    assert shares(order[:200]) == " ".join(["a b"] * 100)
    assert shares(order[200:]) == " ".join(["a"] * 200)
    assert [job_id for job_id in order if job_id.startswith("b")] == [f"b-{n + 1}" for n in range(100)]


async def test_without_shares_who_comes_first_is_served_first(queue: Queue, push: Push, sync: Redis) -> None:
    await push(*["a"] * 5)
    for number in range(3):
        await queue.push(attrs.evolve(JOB, id=f"nobody-{number}"))
    await push("b")
    assert waiting(sync)[-3:] == ["nobody-0", "nobody-1", "nobody-2"]


@pytest.mark.parametrize(("takes", "least"), [(1, 20), (2, 140)])
async def test_a_stream_of_newcomers_holds_up_nobody_for_ever(
    push: Push, sync: Redis, takes: int, least: int
) -> None:
    """Half as many as can be served leave the other half to the one who has many; where they alone are as
    many as can be served, turns become longer, and everybody's still come.
    """
    await push(*["many"] * 300)
    taken = []
    for number in range(300 // takes):
        await push(f"new{number}")
        taken += [take(sync) or "" for _ in range(takes)]
    assert shares(taken).split().count("many") >= least
    assert shares(waiting(sync)).split().index("many") <= 30 // takes


@pytest.mark.parametrize("seed", range(6))
async def test_while_a_job_waits_no_other_share_gets_more_turns(push: Push, sync: Redis, seed: int) -> None:
    """Nobody else is served more often than the jobs that its own share had waiting, and two."""
    chance = random.Random(seed)  # noqa: S311 - it decides nothing but a test
    names = [f"u{n}" for n in range(chance.randint(2, 12))]
    weights = [chance.choice([1, 1, 3, 30]) for _ in names]
    own: Counter[str] = Counter()
    allowed: dict[str, int] = {}
    others: dict[str, Counter[str]] = {}
    for _ in range(1500):
        if chance.random() < 0.6:
            [share] = chance.choices(names, weights)
            [job_id] = await push(share)
            allowed[job_id], others[job_id] = own[share] + 2, Counter()
            own[share] += 1
        elif job_id := take(sync) or "":
            share = shares([job_id])
            own[share] -= 1
            counted = others.pop(job_id)
            assert all(times <= allowed[job_id] for other, times in counted.items() if other != share)
            for waiting_one in others.values():
                waiting_one[share] += 1
    assert sorted(others) == sorted(waiting(sync))


@pytest.mark.parametrize("seed", range(3))
async def test_each_shares_own_jobs_stay_in_order(push: Push, sync: Redis, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - it decides nothing but a test
    expected: dict[str, deque[str]] = {}
    for _ in range(600):
        if chance.random() < 0.6:
            share = f"u{min(int(chance.expovariate(0.5)), 9)}"
            expected.setdefault(share, deque()).extend(await push(share))
        elif job_id := take(sync):
            assert expected[shares([job_id])].popleft() == job_id


async def test_stock_workers_run_what_is_shared(push: Push, sync: Redis) -> None:
    await push(*["a"] * 3, "b")
    work(sync)
    assert waiting(sync) == []
    await push(*["a"] * 3, "b")
    assert shares(waiting(sync)) == "a b a a"


def _flush(sync: Redis, _: RQQueue) -> None:
    sync.flushall()


def _delete_list(sync: Redis, _: RQQueue) -> None:
    sync.delete(LIST)


def _empty(_: Redis, rq: RQQueue) -> None:
    rq.empty()


def _forget_rounds(sync: Redis, _: RQQueue) -> None:
    sync.delete(*sync.keys("mediaq:rounds:*"))


@pytest.mark.parametrize("lose", [_flush, _delete_list, _empty, _forget_rounds])
async def test_what_is_lost_leaves_nobody_worse_off(
    push: Push, sync: Redis, rq: RQQueue, lose: Callable[[Redis, RQQueue], None]
) -> None:
    await push(*["a", "b"] * 50)
    lose(sync, rq)
    before = len(waiting(sync))
    await push("b", *["a"] * 3)
    await push("c", *["b"] * 2)
    added = waiting(sync)
    assert len(added) == before + 7
    assert added.index("c-1") <= 4
    last = [job_id for job_id in added if int(job_id.partition("-")[2]) > 50]
    assert shares(last[-4:]) in ("a b a b", "b a b a", "a b a a", "b a b a")


async def test_one_whose_jobs_were_lost_is_not_behind_those_that_others_bring_later(
    push: Push, sync: Redis
) -> None:
    await push(*["a"] * 50)
    sync.delete(LIST)
    await push(*["b"] * 3)
    await push("a")
    await push(*["b"] * 20)
    assert waiting(sync).index("a-51") == 3


async def test_what_stock_rq_puts_back_misleads_nobody(push: Push, sync: Redis, rq: RQQueue) -> None:
    """At the back stand jobs that once had early rounds."""
    await push(*["a"] * 40)
    for _ in range(10):
        job = Job.fetch(take(sync) or "", connection=sync)
        rq.enqueue_job(job)
    await push(*["b"] * 3)
    order = shares(waiting(sync)).split()
    assert order[:7] == ["a", "b", "a", "b", "a", "b", "a"]


async def test_what_was_handed_back_to_the_front_misleads_nobody(push: Push, sync: Redis) -> None:
    await push(*["a"] * 40)
    for job_id in reversed([take(sync) or "" for _ in range(5)]):
        sync.hset(
            keys.job(job_id), mapping={"status": "queued", "enqueued_at": "2026-01-01T00:00:00.000000Z"}
        )
        sync.lpush(LIST, job_id)
    await push("b")
    assert waiting(sync).index("b-1") == 6


async def test_a_retry_that_is_due_does_not_wait_behind_anothers_backlog(
    push: Push, sync: Redis, redis: AsyncRedis
) -> None:
    [job_id] = await push("one")
    take(sync)
    await push(*["many"] * 100)
    sync.hset(keys.job(job_id), "status", "scheduled")
    sync.zadd(keys.scheduled(NAME), {job_id: 1})
    scheduler = Scheduler([NAME], redis)
    assert await scheduler.move_due() == 1
    assert waiting(sync)[:3] == ["many-1", "one-1", "many-2"]


async def test_who_cancels_a_job_gets_no_other_turn_for_it(queue: Queue, push: Push, sync: Redis) -> None:
    await push(*["many"] * 20)
    await push(*["other"] * 20)
    for _ in range(5):
        await queue.cancel((await push("many"))[0])
    [job_id] = await push("many")
    assert waiting(sync)[-1] == job_id


async def test_a_push_that_is_repeated_keeps_its_place(queue: Queue, push: Push, sync: Redis) -> None:
    await push("a", "a", "b")
    before = waiting(sync)
    assert not await queue.push(attrs.evolve(JOB, id="b-1", share="b"))
    assert waiting(sync) == before


async def test_a_key_of_another_type_among_the_jobs_stops_no_push(push: Push, sync: Redis) -> None:
    await push(*["a"] * 5)
    sync.delete(keys.job("a-1"), keys.job("a-5"))
    for job_id in ("a-1", "a-5"):
        sync.set(keys.job(job_id), "meant for something else")
    await push("b")
    assert waiting(sync).index("b-1") <= 2


async def test_many_producers_at_once_are_placed_as_one(queue: Queue, sync: Redis) -> None:
    jobs = [attrs.evolve(JOB, id=f"{share}-{n}", share=share) for n in range(100) for share in "abc"]
    assert all(await asyncio.gather(*map(queue.push, jobs)))
    order = shares(waiting(sync)).split()
    assert all(set(order[at : at + 3]) == {"a", "b", "c"} for at in range(0, 300, 3))
