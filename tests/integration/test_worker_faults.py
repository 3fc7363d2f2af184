"""Workers, connections and servers that die or hang: no job is lost, none ends twice.

`scripts/faults` shows the same on whole processes, at full length.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

import chores
import faulty
import pytest
from faulty import FAINT, KEEN, Killable, deaths, given, running_traces, started_by, times_started, victim
from lossy import Lossy
from redis import Redis
from rq import Callback, Queue, Retry, SimpleWorker
from rq.job import Job
from rq.utils import as_text
from worker_kit import (
    NAME,
    Working,
    at_work,
    ended,
    enqueue_many,
    error_of,
    like,
    make_worker,
    options,
    outcomes,
    status_of,
    until,
)

from mediaq.queue import heart, keys, shutdown
from mediaq.queue.options import Options
from mediaq.queue.worker import AsyncWorker

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@pytest.fixture(autouse=True)
def fresh() -> None:
    faulty.forget()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Killable]:
    server = Killable(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


@contextmanager
def working(redis: Redis, name: str, *queues: str, told: Options = KEEN) -> Iterator[AsyncWorker]:
    with at_work(make_worker(redis, *queues, given=told, name=name)) as worker:
        try:
            yield worker
        finally:
            faulty.released.add(name)


def finished(*jobs: Job) -> bool:
    assert {ended(job) for job in jobs} == {"finished"}
    return [len(job.results()) for job in jobs] == [1] * len(jobs)


def fetched(job: Job) -> Job:
    return Job.fetch(job.id, connection=job.connection)


def without_traces(redis: Redis) -> bool:
    return until(lambda: not running_traces(redis))


# Workers that die, or seem to.


def test_what_a_killed_worker_ran_runs_again_at_no_cost(sync: Redis, stock: Queue, redis_url: str) -> None:
    other = Queue("others", connection=sync)
    jobs = [
        each.enqueue("faulty.wait_for_word", retry=retry)
        for each in (stock, other)
        for retry in (None, Retry(2), Retry(2))
    ]
    with working(sync, "living", "elsewhere"):
        with victim(redis_url, NAME, "others") as process:
            until(lambda: faulty.started_elsewhere(sync) == 6)
            waiting = stock.enqueue("chores.note", "waited")
            process.kill()
        # RQ's tools read the registries, and fail what counts as abandoned there.
        until(lambda: stock.started_job_registry.count + other.started_job_registry.count == 0)
    assert (stock.job_ids[3:], other.count) == ([waiting.id], 3), "in front of those that waited"
    sync.set(faulty.GO, 1)
    with working(sync, "next", NAME, "others"):
        assert finished(*jobs, waiting)
    assert [deaths(job) for job in (*jobs, waiting)] == [1] * 6 + [0]
    assert [fetched(job).retries_left for job in jobs] == [None, 2, 2] * 2
    assert outcomes(sync) == {"died": 3, "finished": 4}
    assert outcomes(sync, "others") == {"died": 3, "finished": 3}
    assert without_traces(sync)
    entries: Any = sync.xrange(keys.EVENTS)
    told = [fields for _, fields in entries]
    assert {fields[b"job"].decode() for fields in told} == {job.id for job in jobs}
    assert [fields[b"event"] for fields in told] == [b"stalled"] * 6


def test_the_late_end_of_a_worker_that_seemed_dead_is_dropped(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("faulty.wait_at_gate")
    with working(sync, "faint", told=given(lease=0.3, beat=1000, default_concurrency=1)) as faint:
        started_by("faint", 1)
        with working(sync, "keen"):
            started_by("keen", 1)
            faulty.released.add("faint")
            until(lambda: faint.jobs is not None and not faint.jobs.runs and not faint.jobs.unsettled)
            assert (status_of(job), job.results()) == ("started", [])
            faulty.released.add("keen")
            assert finished(job)
    assert (job.return_value(), outcomes(sync)) == ("keen", {"died": 1, "finished": 1})
    assert without_traces(sync)


def test_a_worker_that_seemed_dead_cuts_short_what_another_has(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.clean_up", "tidy")
    with working(sync, "faint", told=options(lease=0.3, beat=0.8, default_concurrency=1)) as faint:
        until(lambda: chores.room.inside == 1)
        with working(sync, "keen"):
            until(lambda: chores.noted == ["tidy"])
            assert (faint.jobs and len(faint.jobs.runs), status_of(job)) == (0, "started")
            chores.release()
            assert finished(job)
    assert (fetched(job).worker_name, outcomes(sync)) == ("keen", {"died": 1, "finished": 1})


def test_a_held_loop_costs_no_job_anything(sync: Redis, stock: Queue) -> None:
    jobs = [
        # Its time is over before the loop goes on; what it waited for is there by then.
        stock.enqueue("faulty.rest", 0.3, job_timeout=1),
        stock.enqueue("faulty.rest", 0.3),
        stock.enqueue("faulty.hold_loop", 2.2, rest=0.1),
    ]
    with working(sync, "held"):
        started_by("held", 3)
        time.sleep(0.2)
        with working(sync, "idle"):
            later = stock.enqueue("faulty.rest", 0)
            assert ended(later) == "finished"
            assert finished(*jobs)
    assert (started_by("held", 3), started_by("idle", 1)) == (sorted(job.id for job in jobs), [later.id])
    assert outcomes(sync) == {"finished": 4}


def test_many_dead_leases_are_taken_over_without_waiting_for_as_many_beats(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "REAP_BATCH", 2)
    jobs = enqueue_many(stock, "chores.hold", 10)
    with working(sync, "faint", told=FAINT):
        until(lambda: chores.room.inside == 10)
        with working(sync, "living", "elsewhere", told=options(lease=0.5, beat=1.5)):
            until(lambda: any(map(deaths, jobs)))
            until(lambda: all(map(deaths, jobs)), seconds=3)


def test_a_job_that_outlives_too_many_workers_fails_with_the_reason(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", retry=Retry(5), on_failure=Callback("chores.on_failure"))
    after = stock.enqueue("chores.anote", "never", depends_on=job)
    with working(sync, "living", "elsewhere"), working(sync, "faint", told=FAINT):
        assert ended(job) == "failed"
        until(lambda: chores.noted)
        assert chores.noted == [("failure", job.id, "AbandonedJobError", "", False)]
    assert "gave up: 4 workers died while they ran this job" in error_of(job)
    assert (fetched(job).retries_left, status_of(after)) == (5, "deferred")
    assert outcomes(sync) == {"died": 4, "poisoned": 1}
    assert stock.failed_job_registry.get_job_ids() == [job.id]
    assert without_traces(sync)


def test_a_job_does_not_fail_for_what_another_does_to_their_worker(sync: Redis, stock: Queue) -> None:
    jobs = enqueue_many(stock, "chores.hold", 3)
    with working(sync, "living", "elsewhere"), working(sync, "faint", told=FAINT):
        until(lambda: "failed" in map(status_of, jobs))
        # Three times they died together; then one after the other, each on its own account.
        assert sorted(map(deaths, jobs)) == [3, 3, 4]


# Stock workers that die.


def test_a_job_that_a_stock_worker_took_and_did_not_start_runs(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "STUCK_AFTER", 0.3)
    job, gone = stock.enqueue("faulty.rest", 0), stock.enqueue("faulty.rest", 0)
    for _ in range(2):
        sync.lmove(stock.key, stock.intermediate_queue_key)
    sync.delete(gone.key)
    with working(sync, "keen"):
        assert finished(job)
    assert (times_started([job, gone]), deaths(job)) == ([1, 0], 1)
    assert not sync.exists(stock.intermediate_queue_key, keys.stuck(NAME))


def test_a_job_that_a_stock_worker_started_in_time_is_not_held_for_stuck_later(
    sync: Redis, stock: Queue
) -> None:
    started, _ = enqueue_many(stock, "chores.note", 2)
    for _ in range(2):
        sync.lmove(stock.key, stock.intermediate_queue_key)
    with working(sync, "living", "elsewhere"):
        until(lambda: sync.zcard(keys.stuck(NAME)) == 2)
        sync.lrem(stock.intermediate_queue_key, 1, started.id)
        until(lambda: sync.zscore(keys.stuck(NAME), started.id) is None)
        assert sync.zcard(keys.stuck(NAME)) == 1


def test_a_job_that_a_stock_worker_died_over_runs_again_without_a_retry(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("faulty.rest", 0)
    dead = SimpleWorker([stock], connection=sync)
    sync.lpop(stock.key)
    dead.prepare_execution(job)
    dead.prepare_job_execution(job)
    with working(sync, "keen"):
        time.sleep(1)
        assert status_of(job) == "started", "as long as RQ's entry stands"
        [(entry, _)] = sync.zscan_iter(stock.started_job_registry.key)
        sync.zadd(stock.started_job_registry.key, {as_text(entry): time.time() - 1})
        assert finished(job)
    assert (deaths(job), outcomes(sync)) == (1, {"died": 1, "finished": 1})
    assert without_traces(sync)


# Redis that dies, hangs or forgets, and connections that are cut.


def test_running_jobs_outlive_redis(server: Killable) -> None:
    with Redis.from_url(server.url) as redis:
        queue = Queue(NAME, connection=redis)
        jobs = [queue.enqueue("faulty.rest", seconds) for seconds in (0.3, 1.5, 0.1)]
        with working(redis, "working", told=given(lease=0.6, beat=0.1, default_concurrency=2)):
            started_by("working", 2)
            server.kill()
            time.sleep(0.8)
            server.start()
            assert finished(*jobs)
        assert (times_started(jobs), outcomes(redis)) == ([1, 1, 1], {"finished": 3})
        assert without_traces(redis)


def test_nobody_is_dead_because_redis_was_away(server: Killable) -> None:
    with Redis.from_url(server.url) as redis:
        job = Queue(NAME, connection=redis).enqueue("faulty.rest", 3.5)
        with working(redis, "working", told=given(lease=1.5, beat=0.3)):
            started_by("working", 1)
            server.kill()
            time.sleep(1.6)
            server.start()
            # It finds a lease that has run out, and cannot know yet whose fault that is.
            with working(redis, "new", "elsewhere", told=given(lease=1.5, beat=0.3)):
                assert finished(job)
        assert (times_started([job]), outcomes(redis)) == ([1], {"finished": 1})


def test_a_redis_that_comes_back_empty_finds_the_worker_ready(sync: Redis, stock: Queue) -> None:
    stock.enqueue("faulty.wait_at_gate")
    with working(sync, "working") as worker:
        started_by("working", 1)
        sync.flushall()
        until(lambda: sync.sismember("rq:workers", worker.key))
        faulty.released.add("working")
        assert finished(stock.enqueue("faulty.rest", 0))
        assert outcomes(sync) == {"finished": 1}
        assert without_traces(sync)


def test_cut_connections_lose_no_job_and_end_none_twice(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("faulty.rest", 0.02) for _ in range(400)]
    with working(sync, "first"), working(sync, "second"):
        for _ in range(10):
            time.sleep(0.05)
            sync.client_kill_filter(_type="normal", skipme=True)
            sync.script_flush("SYNC")
        assert finished(*jobs)
        assert without_traces(sync)


@pytest.fixture
def relay(sync: Redis) -> Iterator[Lossy]:
    with Lossy(sync.connection_pool.connection_kwargs["port"]) as relay:
        yield relay


@contextmanager
def behind(relay: Lossy, sync: Redis, **changed: object) -> Iterator[AsyncWorker]:
    """A worker whose connections go through the relay."""
    settings = like(sync).connection_pool.connection_kwargs
    told = given(lease=2, beat=0.1, **changed)
    with (
        Redis(host="127.0.0.1", port=relay.port, password=settings["password"]) as redis,
        working(redis, "behind", told=told) as worker,
    ):
        yield worker


def test_a_start_that_its_worker_never_heard_of_is_taken_back(
    sync: Redis, stock: Queue, relay: Lossy
) -> None:
    with behind(relay, sync, default_concurrency=1):
        relay.lose("answer", b"unheard of")
        # So that a claim is under way nearly all the time.
        relay.delay = 0.01
        jobs = [
            stock.enqueue("faulty.rest", 0, description="unheard of"),
            *enqueue_many(stock, "chores.note", 150),
        ]
        assert finished(jobs[0])
        assert stock.count > 0, "also by a worker that is busy with others"
        assert relay.lost == 1
        assert times_started(jobs[:1]) == [1]
        assert outcomes(sync)["interrupted"] == 1
        sync.delete(stock.key)


@pytest.mark.parametrize("lost", [("command", b"successful"), ("answer", b"$5\r\nended\r\n")])
def test_an_end_is_recorded_once_though_its_connection_breaks(
    sync: Redis, stock: Queue, relay: Lossy, lost: tuple[str, bytes]
) -> None:
    job = stock.enqueue("faulty.wait_at_gate")
    after = stock.enqueue("faulty.rest", 0, depends_on=job)
    with behind(relay, sync, default_concurrency=1):
        started_by("behind", 1)
        relay.lose(*lost)
        faulty.released.add("behind")
        assert finished(job, after)
        assert (relay.lost, outcomes(sync)["finished"]) == (1, 2)
        assert times_started([job, after]) == [1, 1]
        assert without_traces(sync)


# Workers that are told to stop.


def test_a_warm_stop_hands_long_jobs_back_in_their_order(sync: Redis, stock: Queue) -> None:
    short, *long = [stock.enqueue("faulty.rest", seconds, retry=Retry(2)) for seconds in (0.1, 60, 60, 60)]
    with working(sync, "stopped", told=given(grace=0.5, default_concurrency=4)) as worker:
        started_by("stopped", 4)
        waiting = stock.enqueue("faulty.rest", 60)
        worker.request_stop()
        assert finished(short)
    assert stock.job_ids == [job.id for job in (*long, waiting)]
    assert [deaths(job) for job in long] == [0, 0, 0]
    assert [fetched(job).retries_left for job in long] == [2, 2, 2]
    assert outcomes(sync) == {"finished": 1, "interrupted": 3}
    assert without_traces(sync)


def test_a_second_signal_does_not_wait_for_the_grace_period(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "ECHO", 0.1)
    job = stock.enqueue("faulty.rest", 60)
    worker = make_worker(sync, given=given(grace=60), name="stopped")
    thread = Working(worker, {})
    thread.start()
    started_by("stopped", 1)
    worker.request_stop()
    time.sleep(0.15)
    worker.request_stop()
    assert thread.result(seconds=2)
    assert (stock.job_ids, outcomes(sync)) == ([job.id], {"interrupted": 1})


def test_a_process_ends_although_a_job_holds_its_loop(sync: Redis, stock: Queue, redis_url: str) -> None:
    # The loop is held before it can tell how the first one ended.
    done = stock.enqueue("faulty.end_before_hold")
    held = [stock.enqueue("faulty.hold_after_end", 60), stock.enqueue("faulty.wait_for_word")]
    with victim(redis_url, NAME) as process:
        until(lambda: faulty.started_elsewhere(sync) == 1)
        time.sleep(0.6)
        process.send_signal(SIGTERM)
        process.wait(timeout=6)
    assert (status_of(done), stock.job_ids) == ("finished", [job.id for job in held])
    assert outcomes(sync) == {"finished": 1, "interrupted": 2}
    assert sync.scard("rq:workers") == 0
    assert without_traces(sync)
