"""Finished jobs leave Redis by age and by count, whoever finished them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import foreign
import pytest
from queue_kit import JOB, NAME, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from rq.group import Group
from rq.job import Job as RQJob
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.repeat import Repeat

from mediaq.queue import keys, retention
from mediaq.queue.retention import trim
from mediaq.queue.scripts import read_script

pytest_plugins = ["queue_fixtures"]


def finish(sync: Redis, job_id: str, *, ended: float | datetime, ttl: int = 3600) -> None:
    """Put a job there that a stock worker finished, so many seconds ago or then."""
    job = RQJob.create("foreign.shout", args=("a",), id=job_id, connection=sync, origin=NAME, result_ttl=ttl)
    job.ended_at = ended if isinstance(ended, datetime) else datetime.now(UTC) - timedelta(seconds=ended)
    with sync.pipeline() as pipe:
        job.save(pipeline=pipe)
        job._handle_success(ttl, pipeline=pipe)
        job.cleanup(ttl, pipeline=pipe)
        pipe.execute()


def finished(sync: Redis) -> set[str]:
    return set(FinishedJobRegistry(NAME, connection=sync).get_job_ids(cleanup=False))


def indexed(sync: Redis) -> dict[str, float]:
    entries: list[Any] = sync.zrange(keys.ended(NAME), 0, -1, withscores=True)
    return {job_id.decode(): ended for job_id, ended in entries}


def keys_of(sync: Redis, job_id: str) -> list[bytes]:
    return list(sync.scan_iter(f"*{job_id}*"))


# By count


async def test_the_newest_stay_by_when_they_ended_whatever_their_time_to_live(
    redis: AsyncRedis, sync: Redis
) -> None:
    ends = (("oldest", 60, -1), ("old", 40, -1), ("older", 50, 9000), ("new", 10, 60), ("newer", 5, 120))
    for job_id, ended, ttl in ends:
        finish(sync, job_id, ended=ended, ttl=ttl)
    # RQ scored so what is kept for ever, and now scores it as infinite.
    sync.zadd(keys.finished(NAME), {"oldest": -1})
    assert await trim(redis, NAME, 2) == 3
    assert finished(sync) == set(indexed(sync)) == {"new", "newer"}
    assert RQJob.fetch("newer", connection=sync).return_value() is None
    assert await trim(redis, NAME, 2) == 0


async def test_nothing_is_left_of_a_forgotten_job(redis: AsyncRedis, sync: Redis, rq: RQQueue) -> None:
    """Of one that was in a group, waited for another job and had others wait for it, too."""
    group = Group.create(sync, "group")
    group.enqueue_many(rq, [RQQueue.prepare_data(foreign.shout, ("a",), job_id=name) for name in "ab"])
    rq.enqueue(foreign.shout, "a", job_id="middle", depends_on=["a", "b"], result_ttl=-1)
    rq.enqueue(foreign.fail, job_id="last", depends_on="middle")
    rq.enqueue(foreign.shout, "a", job_id="waits", depends_on=["middle", "last"])
    work(sync)
    assert set(indexed(sync)) == set()
    assert await trim(redis, NAME, 0) == 3
    for job_id in ("a", "b", "middle"):
        assert [key for key in keys_of(sync, job_id) if job_id.encode() in key.split(b":")] == []
    assert not sync.exists(group.key)
    assert {job_id for job_id in ("last", "waits") if RQJob.exists(job_id, connection=sync)} == {
        "last",
        "waits",
    }


async def test_jobs_are_indexed_by_when_rq_says_they_ended(redis: AsyncRedis, sync: Redis) -> None:
    ends = {
        "epoch": datetime(1970, 1, 1, tzinfo=UTC),
        "century": datetime(2000, 2, 29, 23, 59, 59, 999999, UTC),
        "leap-day": datetime(2028, 2, 29, 12, 0, 0, 1, UTC),
        "march": datetime(2027, 3, 1, tzinfo=UTC),
        "new-year": datetime(2099, 12, 31, 23, 59, 59, 500000, UTC),
        "no-leap": datetime(2100, 3, 1, tzinfo=UTC),
    }
    for job_id, ended in ends.items():
        finish(sync, job_id, ended=ended)
    await trim(redis, NAME, 10)
    assert indexed(sync) == pytest.approx(
        {job_id: ended.timestamp() for job_id, ended in ends.items()}, abs=1e-6
    )


async def test_a_job_that_runs_repeatedly_counts_by_its_last_end(redis: AsyncRedis, sync: Redis) -> None:
    finish(sync, "repeats", ended=100)
    finish(sync, "once", ended=50)
    await trim(redis, NAME, 2)
    finish(sync, "repeats", ended=10)
    assert await trim(redis, NAME, 1) == 1
    assert finished(sync) == {"repeats"}


async def test_a_job_that_is_to_run_again_is_not_forgotten(
    redis: AsyncRedis, sync: Redis, rq: RQQueue
) -> None:
    rq.enqueue(foreign.shout, "a", job_id=JOB.id, repeat=Repeat(times=1, interval=60))
    work(sync)
    assert finished(sync) == {JOB.id}
    assert await trim(redis, NAME, 0) == 1
    job = RQJob.fetch(JOB.id, connection=sync)
    assert (job.get_status(), job.return_value()) == ("scheduled", "A")


async def test_a_job_that_was_pushed_anew_is_not_forgotten(
    redis: AsyncRedis, sync: Redis, rq: RQQueue
) -> None:
    finish(sync, JOB.id, ended=50)
    rq.enqueue(foreign.shout, "a", job_id=JOB.id)
    await trim(redis, NAME, 0)
    work(sync)
    assert RQJob.fetch(JOB.id, connection=sync).return_value() == "A"


async def test_what_has_expired_does_not_push_out_what_lives(redis: AsyncRedis, sync: Redis) -> None:
    """Jobs of short lives ended last; once they are gone the older ones are the newest again."""
    for age in range(3):
        finish(sync, f"long-{age}", ended=50 + age)
        finish(sync, f"short-{age}", ended=age)
    await trim(redis, NAME, 6)
    sync.delete(*[keys.job(f"short-{age}") for age in range(3)])
    sync.zadd(keys.finished(NAME), {f"short-{age}": time.time() - 1 for age in range(3)})
    assert await trim(redis, NAME, 3) == 0
    assert finished(sync) == set(indexed(sync)) == {"long-0", "long-1", "long-2"}


# By count, as a job ends


def end(sync: Redis, job_id: str, *, keep: int) -> int:
    """End a job as a worker does that keeps so many, without a pass of retention before."""
    finish(sync, job_id, ended=0)
    sync.zadd(keys.ended(NAME), {job_id: time.time()})
    script = read_script("evict").text + "\nreturn evict(ARGV[1], ARGV[2], ARGV[3], unpack(KEYS))"
    script = "local KEYS = {tonumber(ARGV[4]), 3, tonumber(ARGV[5])}\n" + script
    went: Any = sync.eval(script, 0, keys.RQ, keys.OURS, NAME, keep, time.time())
    return int(went)


async def test_a_job_that_ends_takes_the_place_of_the_oldest(redis: AsyncRedis, sync: Redis) -> None:
    for age in (1, 2, 3):
        finish(sync, f"aged-{age}", ended=age)
    await trim(redis, NAME, 3)
    assert end(sync, "new", keep=3) == 1
    assert finished(sync) == set(indexed(sync)) == {"new", "aged-1", "aged-2"}


async def test_a_job_that_ends_is_not_one_too_many_because_of_others_that_are_unknown_yet(
    sync: Redis,
) -> None:
    """Stock workers' jobs are not in the index before the next pass; which of them are old is not known."""
    for age in range(10):
        finish(sync, f"aged-{age}", ended=age)
    assert end(sync, "new", keep=3) == 0
    assert "new" in finished(sync)


async def test_a_job_that_ends_pushes_out_none_while_the_others_have_expired(
    redis: AsyncRedis, sync: Redis
) -> None:
    for age in range(3):
        finish(sync, f"aged-{age}", ended=age)
    await trim(redis, NAME, 3)
    sync.zadd(keys.finished(NAME), {"aged-1": time.time() - 1})
    sync.zrem(keys.finished(NAME), "aged-2")
    assert end(sync, "new", keep=2) == 0
    assert set(indexed(sync)) == {"new", "aged-0", "aged-1", "aged-2"}
    # The entries of those do not count when there is one too many.
    assert end(sync, "newer", keep=2) == 1
    assert set(indexed(sync)) == {"newer", "new"}


# By age


async def test_entries_of_what_has_expired_go_and_those_kept_for_ever_stay(
    redis: AsyncRedis, sync: Redis
) -> None:
    past, later = time.time() - 1, time.time() + 60
    finish(sync, "minus", ended=3, ttl=-1)
    finish(sync, "later", ended=2)
    finish(sync, "endless", ended=1, ttl=-1)
    finish(sync, "past", ended=4)
    sync.zadd(keys.finished(NAME), {"past": past, "minus": -1})
    sync.zadd(keys.failed(NAME), {"past": past, "later": later, "minus": -1, "endless": float("inf")})
    sync.zadd(keys.ended(NAME), {"past": past - 3, "unlisted": past})
    assert await trim(redis, NAME, None) == 0
    assert finished(sync) == set(indexed(sync)) == {"minus", "later", "endless"}
    failed = FailedJobRegistry(NAME, connection=sync).get_job_ids(cleanup=False)
    assert set(failed) == {"minus", "later", "endless"}


async def test_entries_of_jobs_that_were_deleted_go(redis: AsyncRedis, sync: Redis) -> None:
    for job_id in ("kept", "deleted", "lost"):
        finish(sync, job_id, ended=5, ttl=-1)
    await trim(redis, NAME, 3)
    RQJob.fetch("deleted", connection=sync).delete()
    sync.delete(keys.job("lost"))
    assert await trim(redis, NAME, 1) == 0
    assert finished(sync) == set(indexed(sync)) == {"kept"}
    assert keys_of(sync, "lost") == []


# In bounds


@pytest.fixture
def many(sync: Redis) -> int:
    """Jobs that a stock worker finished, before any pass; in no order that their times to live would tell."""
    for age in range(600):
        finish(sync, f"aged-{age}", ended=age, ttl=1000 + 7 * age % 600)
    return 600


async def test_however_many_there_are_a_pass_leaves_the_newest(
    redis: AsyncRedis, sync: Redis, many: int
) -> None:
    assert await trim(redis, NAME, 50) == many - 50
    assert finished(sync) == set(indexed(sync)) == {f"aged-{age}" for age in range(50)}


async def test_each_call_of_a_pass_takes_a_batch_and_never_the_newest(
    redis: AsyncRedis, sync: Redis, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, newest = 100, {f"aged-{age}" for age in range(50)}
    monkeypatch.setattr(retention, "BATCH", batch)
    monkeypatch.setattr(retention, "MOST_CALLS", 1)
    most_commands = 0
    while len(finished(sync)) > 50:
        sync.config_resetstat()
        assert await trim(redis, NAME, 50) <= batch
        commands = sum(stats["calls"] for stats in sync.info("commandstats").values())
        most_commands = max(most_commands, commands)
        assert finished(sync) >= newest
    # A look at a batch of each set, and the end of a batch of jobs, of a few commands a job.
    assert most_commands < 12 * batch


async def test_passes_find_all_that_is_gone_among_many_that_stay(
    redis: AsyncRedis, sync: Redis, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 50)
    for _ in range(many // 50 + 5):
        await trim(redis, NAME, None)
    assert set(indexed(sync)) == finished(sync) == {f"aged-{age}" for age in range(many)}
    sync.delete(*[keys.job(f"aged-{age}") for age in range(0, many, 3)])
    for _ in range(many // 50 + 5):
        await trim(redis, NAME, None)
    assert finished(sync) == set(indexed(sync)) == {f"aged-{age}" for age in range(many) if age % 3}


async def test_however_much_has_expired_a_pass_drops_it_batch_by_batch(
    redis: AsyncRedis, sync: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    for registry in (keys.finished(NAME), keys.failed(NAME)):
        sync.zadd(registry, {f"past-{number}": time.time() - 1 for number in range(100)})
    with monkeypatch.context() as patch:
        patch.setattr(retention, "MOST_CALLS", 1)
        await trim(redis, NAME, None)
    assert sync.zcard(keys.failed(NAME)) == 90
    await trim(redis, NAME, None)
    assert not sync.exists(keys.finished(NAME), keys.failed(NAME))


async def test_two_processes_that_trim_at_once_forget_each_job_once(redis: AsyncRedis, sync: Redis) -> None:
    for age in range(200):
        finish(sync, f"aged-{age}", ended=age)
    assert sum(await asyncio.gather(*(trim(redis, NAME, 150) for _ in range(2)))) == 50
    assert finished(sync) == {f"aged-{age}" for age in range(150)}
