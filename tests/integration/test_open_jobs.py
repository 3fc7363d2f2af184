"""Open jobs on record, as the reconciler reads and moves them: in order, unheld, fenced, each death once."""

import asyncio

import pytest
from store_kit import JOB, accepted, completed, lapse, look, media_item, started

from mediaq.model import Job, JobStatus, OpenJob, Place
from mediaq.store import attempts, open_jobs
from mediaq.store.attempts import Ending
from mediaq.store.open_jobs import START
from mediaq.store.pool import Store

pytest_plugins = ["store_fixtures"]

DELAYED = Ending(JobStatus.DELAYED, {}, reason="busy", trace="Traceback: busy", delay=30)


async def read(store: Store, after: Place = START, most: int = 10) -> list[OpenJob]:
    """Read open jobs that were all accepted some seconds earlier than they were."""
    await store.pool.execute("update jobs set accepted_at = accepted_at - interval '3 s'")
    found = await open_jobs.read(store, [JOB.type], after, most)
    await store.pool.execute("update jobs set accepted_at = accepted_at + interval '3 s'")
    return found


async def read_one(store: Store, job: Job) -> OpenJob:
    [found] = [each for each in await read(store) if each.id == job.id]
    return found


async def deaths(store: Store) -> int:
    """How many are counted of the one job there is."""
    return int(await store.pool.fetchval("select deaths from jobs"))


async def test_open_jobs_are_those_that_no_living_worker_holds(store: Store) -> None:
    waiting, held, dead, delayed, closed = [await accepted(store) for _ in range(5)]
    await accepted(store, type="video-processing")
    await started(store, held)
    await lapse(store, await started(store, dead))
    await attempts.end(store, await started(store, delayed), DELAYED)
    await attempts.end(store, await started(store, closed), completed())
    assert [job.id for job in await read(store)] == [waiting.id, dead.id, delayed.id]


async def test_a_job_that_was_just_accepted_is_left_to_who_accepted_it(store: Store) -> None:
    await accepted(store)
    assert await open_jobs.read(store, [JOB.type], START, 10) == []


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at one moment"])
async def test_open_jobs_are_read_in_the_order_of_their_acceptance(store: Store, at_once: bool) -> None:
    ids = [(await accepted(store)).id for _ in range(7)]
    if at_once:
        await store.pool.execute("update jobs set accepted_at = now()")
        ids.sort()
    found: list[str] = []
    after = START
    await store.pool.execute("update jobs set accepted_at = accepted_at - interval '3 s'")
    while batch := await open_jobs.read(store, [JOB.type], after, 3):
        assert len(batch) <= 3
        found += [job.id for job in batch]
        after = Place.of(batch[-1])
    assert found == ids


async def test_what_was_started_closed_or_taken_since_it_was_read_is_not_untouched(store: Store) -> None:
    waiting, begun, handed_back, _ = [await accepted(store) for _ in range(4)]
    as_read = await read(store)
    await started(store, begun)
    await attempts.release(store, await started(store, handed_back))
    await open_jobs.close(store, as_read[3], "cancelled")
    assert await open_jobs.untouched(store, as_read) == {waiting.id}


async def test_a_death_before_the_start_is_counted_once_for_each_push(store: Store) -> None:
    job = await read_one(store, await accepted(store))
    for push in ("first", "first", "second", "second"):
        assert await open_jobs.count_death(store, job, push)
    [counted] = await read(store)
    assert (counted.deaths, counted.died_of_push) == (2, "second")


async def test_of_many_who_count_a_death_at_once_one_does(store: Store) -> None:
    job = await read_one(store, await accepted(store))
    assert all(await asyncio.gather(*(open_jobs.count_death(store, job, "push") for _ in range(5))))
    assert await deaths(store) == 1


async def test_a_death_in_the_middle_is_left_to_the_next_start(store: Store) -> None:
    new = await accepted(store)
    before = await read_one(store, new)
    running = await started(store, new)
    await lapse(store, running)
    after = await read_one(store, new)
    for job in (before, after):
        assert not await open_jobs.count_death(store, job, "push")
    await attempts.end(store, running, DELAYED)
    assert not await open_jobs.count_death(store, before, "push")
    assert await open_jobs.count_death(store, after, "push")
    assert await deaths(store) == 1


async def test_an_attempt_that_was_cut_off_is_handed_back_unused_unless_someone_goes_on(store: Store) -> None:
    running = await started(store)
    await lapse(store, running)
    cut_off = await read_one(store, running)
    again = await started(store, running)
    assert not await open_jobs.hand_back(store, cut_off)
    assert await look(store, running) == again
    await lapse(store, again)
    assert await open_jobs.hand_back(store, await read_one(store, again))
    back = await look(store, again)
    assert (back.status, back.attempts, back.deaths) == (JobStatus.WAITING, 0, 1)
    assert (await media_item(store))["processing_status"] == "pending"


async def test_an_attempt_whose_worker_lives_is_not_handed_back(store: Store) -> None:
    running = await started(store)
    await lapse(store, running)
    cut_off = await read_one(store, running)
    await attempts.renew(store, running, 60)
    assert not await open_jobs.hand_back(store, cut_off)


async def test_only_an_unheld_job_is_closed_from_elsewhere(store: Store) -> None:
    job = await started(store)
    await lapse(store, job)
    as_read = await read_one(store, job)
    await attempts.renew(store, job, 60)
    assert not await open_jobs.close(store, as_read, "stopped")
    assert await look(store, job) == job
    await lapse(store, job)
    assert await open_jobs.close(store, as_read, "stopped\0")
    closed = await look(store, job)
    assert (closed.status, closed.failed_reason) == (JobStatus.FAILED, "stopped\N{REPLACEMENT CHARACTER}")
    assert closed.finished_at is not None
    assert (await media_item(store))["processing_status"] == "failed"


async def test_a_job_that_was_started_meanwhile_is_not_closed(store: Store) -> None:
    new = await accepted(store)
    as_read = await read_one(store, new)
    await lapse(store, await started(store, new))
    assert not await open_jobs.close(store, as_read, "cancelled")
