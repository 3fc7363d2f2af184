"""Workers go on where Redis refuses, forgets or falls silent, where keys are broken and jobs misbehave."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import chores
import faulty
import pytest
from faulty import FAINT, KEEN, Killable, deaths, running_traces
from lossy import Lossy
from redis import Redis
from rq import Callback, Queue, SimpleWorker
from rq.utils import as_text
from worker_kit import (
    NAME,
    at_work,
    burst,
    ended,
    error_of,
    make_worker,
    options,
    outcomes,
    slots,
    status_of,
    until,
    work,
)

from mediaq.queue import heart, keys, run
from mediaq.queue.heart import Heart

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Killable]:
    chores.forget()
    faulty.forget()
    server = Killable(tmp_path / "valkey")
    server.start()
    yield server
    chores.release()
    server.kill()


def refuse_writes(redis: Redis, refuses: bool) -> None:
    redis.config_set("min-replicas-to-write", int(refuses))


# Redis that refuses, forgets or falls silent.


def test_an_end_is_kept_until_redis_takes_writes_again(server: Killable) -> None:
    with Redis.from_url(server.url) as redis:
        job = Queue(NAME, connection=redis).enqueue("chores.hold", "once")
        with at_work(make_worker(redis)) as worker:
            until(lambda: chores.room.inside == 1)
            refuse_writes(redis, True)
            chores.release()
            until(lambda: worker.jobs and not worker.jobs.runs)
            time.sleep(0.2)
            assert (status_of(job), len(worker.jobs.unsettled)) == ("started", 1)  # type: ignore[union-attr]
            refuse_writes(redis, False)
            assert ended(job) == "finished"
        assert (chores.noted, outcomes(redis)) == (["once"], {"finished": 1})


def test_a_job_whose_entries_are_gone_goes_on_and_gets_them_back(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.hold", "once")
    with at_work(make_worker(sync)) as worker:
        until(lambda: chores.room.inside == 1)
        before = running_traces(sync)
        gone = [key for key in before if not key.startswith(("rq:wip:", "mediaq:"))]
        assert sync.delete(*gone) == 3
        until(lambda: running_traces(sync) == before)
        assert sync.smembers(keys.worker_executions(worker.name)) == set(
            sync.zrange(stock.started_job_registry.key, 0, -1)
        )
        last = sync.hget(worker.key, "last_heartbeat")
        until(lambda: sync.hget(worker.key, "last_heartbeat") != last)
        assert chores.room.inside == 1
        chores.release()
        assert ended(job) == "finished"
    assert (chores.noted, deaths(job), outcomes(sync)) == (["once"], 0, {"finished": 1})
    assert not running_traces(sync)


class Swallower(Lossy):
    """A connection that can fall silent without an end."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._scripted: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()

    def swallow(self) -> None:
        """Lets no more commands through on the connections that there are and that carried scripts."""
        self._silent = set(self._scripted)

    async def _hand_on(self, which: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if which == "command" and b"EVALSHA" in piece:
                self._scripted.add(writer)
            if writer not in self._silent:
                writer.write(piece)
        raise ConnectionResetError


def test_a_silent_connection_is_given_up_in_time_for_the_lease(server: Killable) -> None:
    with Redis.from_url(server.url) as redis, Swallower(port_of(redis)) as relay:
        queue = Queue(NAME, connection=redis)
        job = queue.enqueue("chores.hold", "once")
        with (
            Redis.from_url(server.url.replace(f":{port_of(redis)}", f":{relay.port}")) as relayed,
            at_work(make_worker(relayed, given=options(lease=1))),
        ):
            until(lambda: chores.room.inside == 1)
            relay.swallow()
            chores.release()
            assert ended(job, seconds=3) == "finished"
            assert ended(queue.enqueue("chores.note", "next"), seconds=3) == "finished"
        assert (chores.noted, outcomes(redis)) == (["once", "next"], {"finished": 2})


def port_of(redis: Redis) -> int:
    port: int = redis.connection_pool.connection_kwargs["port"]
    return port


# Keys of another type than RQ's.


def test_a_queue_of_another_type_does_not_hold_up_the_others(sync: Redis, stock: Queue) -> None:
    sync.set(keys.queue("bad"), "no list")
    with at_work(make_worker(sync, "bad", NAME)):
        assert ended(stock.enqueue("chores.note", 1), seconds=3) == "finished"


def test_nothing_is_taken_that_cannot_be_registered(sync: Redis, stock: Queue) -> None:
    waiting = Queue("bad", connection=sync).enqueue("chores.note", "never")
    sync.set(keys.started("bad"), "no sorted set")
    job = stock.enqueue("chores.note", 1)
    with at_work(make_worker(sync, "bad", NAME)):
        assert ended(job, seconds=3) == "finished"
    assert (sync.lrange(keys.queue("bad"), 0, -1), status_of(waiting)) == ([waiting.id.encode()], "queued")
    sync.delete(keys.started("bad"))
    burst(sync, "bad")
    assert ended(waiting) == "finished"


def test_dead_leases_of_a_broken_queue_do_not_hold_up_the_others(sync: Redis, stock: Queue) -> None:
    sync.set(keys.started("bad"), "no sorted set")
    sync.zadd(keys.LEASES, {f"job{number}:execution:bad": 1 for number in range(300)})
    job = stock.enqueue("chores.hold")
    with at_work(make_worker(sync, given=FAINT)):
        until(lambda: chores.room.inside == 1)
        with at_work(make_worker(sync, given=KEEN)):
            until(lambda: deaths(job) == 1, seconds=4)
            chores.release()
            assert ended(job) == "finished"


def test_ends_that_cannot_be_counted_do_not_hold_up_the_others(sync: Redis, stock: Queue) -> None:
    bad = Queue("bad", connection=sync).enqueue("chores.hold")
    jobs = [stock.enqueue("chores.hold", number) for number in range(3)]
    sync.hset(keys.outcomes("bad"), "finished", "many")
    with at_work(make_worker(sync, "bad", NAME)) as worker:
        until(lambda: chores.room.inside == 4)
        chores.release()
        until(lambda: worker.jobs and not worker.jobs.runs and not worker.jobs.unsettled, seconds=3)
        assert {status_of(job) for job in (*jobs, bad)} == {"finished"}
        assert ended(stock.enqueue("chores.note", 3), seconds=3) == "finished"


@pytest.mark.parametrize("key", [keys.outcomes("bad"), keys.finished("bad"), keys.results("bad-job")])
def test_an_end_is_recorded_where_keys_beside_it_are_broken(sync: Redis, stock: Queue, key: str) -> None:
    bad = Queue("bad", connection=sync).enqueue("chores.hold", job_id="bad-job")
    good = [stock.enqueue("chores.hold", number) for number in range(3)]
    with at_work(make_worker(sync, "bad", NAME)) as worker:
        until(lambda: chores.room.inside == 4)
        sync.set(key, "of another type")
        chores.release()
        assert {ended(job, seconds=3) for job in good} == {"finished"}
        assert ended(bad, seconds=3) == ("failed" if key == keys.results("bad-job") else "finished")
        until(lambda: worker.jobs and not worker.jobs.unsettled)
    assert sync.zcard(keys.LEASES) == 0


def test_stock_jobs_are_saved_beside_a_broken_queue(sync: Redis, stock: Queue) -> None:
    # A small set keeps the order: the broken one is looked at first.
    sync.sadd(keys.QUEUES, keys.queue("bad"))
    sync.set(keys.started("bad"), "no sorted set")
    job = stock.enqueue("chores.note", "once")
    dead = SimpleWorker([stock], connection=sync)
    sync.lpop(stock.key)
    dead.prepare_execution(job)
    dead.prepare_job_execution(job)
    [(entry, _)] = sync.zscan_iter(stock.started_job_registry.key)
    sync.zadd(stock.started_job_registry.key, {as_text(entry): time.time() - 1})
    with at_work(make_worker(sync, given=KEEN)):
        assert ended(job, seconds=4) == "finished"
    assert deaths(job) == 1


# Workers that end, wait and begin anew.


def test_a_worker_can_work_again(sync: Redis, stock: Queue) -> None:
    worker = make_worker(sync)
    for number in range(2):
        stock.enqueue("chores.note", number)
        assert work(worker, burst=True)
    with at_work(worker):
        stock.enqueue("chores.note", 2)
        until(lambda: len(chores.noted) == 3)
    stock.enqueue("chores.note", 3)
    assert work(worker, burst=True), "also after it was told to stop"
    assert chores.noted == [0, 1, 2, 3]


STOPS = """
import signal, sys, threading, time
from redis import Redis
from mediaq.queue.options import Options
from mediaq.queue.shutdown import LAST_RESORT
from mediaq.queue.worker import AsyncWorker

signals = signal.SIGINT, signal.SIGTERM
before = [signal.getsignal(each) for each in signals]
worker = AsyncWorker(["chores"], connection=Redis.from_url(sys.argv[1]), options=Options(grace=0.1))
threading.Timer(0.2, worker.request_stop).start()
worker.work(logging_level="CRITICAL")
assert [signal.getsignal(each) for each in signals] == before
time.sleep(LAST_RESORT + 0.3)
print("lives")
"""


def test_a_process_outlives_its_worker(redis_url: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", STOPS, redis_url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.stdout, found.returncode) == ("lives\n", 0), found.stderr


def test_a_worker_that_waits_to_be_idle_long_enough_does_not_spin(server: Killable) -> None:
    with Redis.from_url(server.url) as redis:
        job = Queue(NAME, connection=redis).enqueue("chores.hold")
        with at_work(make_worker(redis), max_idle_time=1) as worker:
            until(lambda: chores.room.inside == 1)
            refuse_writes(redis, True)
            chores.release()
            until(lambda: worker.jobs and not worker.jobs.runs)
            time.sleep(1)
            used = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - used < 0.2
            refuse_writes(redis, False)
            assert ended(job) == "finished"


def test_a_paused_queue_is_looked_at_once_a_second(sync: Redis, stock: Queue) -> None:
    for number in range(40):
        stock.enqueue("chores.park_for", 0.01, before=0.4 + number / 100, after=60)
    with at_work(make_worker(sync, given=slots(80, beat=1000, grace=0.1)), release=False) as worker:
        until(lambda: worker.jobs and len(worker.jobs.runs) == 40)
        sync.sadd(keys.PAUSED, NAME)
        stock.enqueue("chores.note", "never")
        time.sleep(0.1)
        sync.config_resetstat()
        time.sleep(1)
        stats = sync.info("commandstats")
        assert stats.get("cmdstat_evalsha", {}).get("calls", 0) <= 4
    assert chores.noted == []


# Jobs that misbehave.


def test_what_was_given_up_and_returns_all_the_same_has_no_success(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "INSIST_EVERY", 0.02)
    told = {"on_success": Callback("chores.on_success"), "on_failure": Callback("chores.on_failure")}
    job = stock.enqueue("chores.swallow_all", job_timeout=1, **told)
    with at_work(make_worker(sync, given=slots(1))):
        assert ended(job) == "failed"
        after = stock.enqueue("chores.anote", "slot free again")
        chores.release()
        assert ended(after) == "finished"
    message = "Task exceeded maximum timeout value (1 seconds)"
    failure = ("failure", job.id, "JobTimeoutException", message)
    assert [note[:4] if isinstance(note, tuple) else note for note in chores.noted] == [
        failure,
        "through",
        "slot free again",
    ]
    assert outcomes(sync) == {"timed_out": 1, "finished": 1}


def test_a_thread_that_cannot_start_fails_its_job_only(
    sync: Redis, stock: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = set(threading.enumerate())
    start: Callable[[threading.Thread], None] = threading.Thread.start
    refusals = [RuntimeError("can't start new thread")]

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == "mediaq-job" and refusals:
            raise refusals.pop()
        start(thread)

    with at_work(make_worker(sync, given=slots(1))) as worker:

        def none_is_idle() -> bool:
            worker.threads.close()
            return not any(each.name == "mediaq-job" for each in set(threading.enumerate()) - others)

        assert ended(stock.enqueue("chores.echo_thread", 1)) == "finished"
        until(none_is_idle)
        monkeypatch.setattr(threading.Thread, "start", refuse_once)
        job = stock.enqueue("chores.echo_thread", 2)
        assert (ended(job), refusals) == ("failed", [])
        assert "can't start new thread" in error_of(job)
        assert ended(stock.enqueue("chores.echo_thread", 3), seconds=3) == "finished"


# What is kept, and who is dead.


def test_ends_are_indexed_only_where_finished_jobs_are_limited(sync: Redis, stock: Queue) -> None:
    other = Queue("limited", connection=sync)
    for each in (stock, other):
        each.enqueue("chores.note", 1)
    burst(sync, NAME, "limited", given=options(keep_finished={"limited": 5}))
    assert (sync.zcard(keys.ended(NAME)), sync.zcard(keys.ended("limited"))) == (0, 1)


async def test_a_heart_that_slept_gives_the_others_a_lease(
    sync: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(heart, "time", SimpleNamespace(monotonic=lambda: now))
    beating = Heart(make_worker(sync, given=options(lease=4, beat=1)), sync, asyncio.get_running_loop())
    found = []
    for now in (0, 2, 4, 7, 9, 10, 11):  # noqa: B007 - what the clock says
        found.append(beating._is_steady())  # noqa: PERF401 - the clock is the loop's
    assert found == [False, False, True, False, False, False, True]
