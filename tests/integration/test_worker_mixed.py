"""Stock RQ and mediaq side by side: whoever enqueues, whoever works."""

import signal
from collections import Counter
from datetime import timedelta
from typing import Any

import chores
import foreign
from penalty import Penalty
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Queue as RQQueue
from rq import Retry, SimpleWorker
from rq.job import Job
from worker_kit import (
    NAME,
    OUR_WORKER,
    Shell,
    at_work,
    burst,
    ended,
    enqueue_many,
    make_worker,
    options,
    slots,
    status_of,
    until,
    work,
)

from mediaq.queue.queue import Queue

pytest_plugins = ["worker_fixtures", "queue_fixtures"]

COUNT = 2000


class StockWorker(SimpleWorker):
    death_penalty_class = Penalty


def stock_burst(redis: Redis) -> None:
    StockWorker([NAME], connection=redis).work(burst=True, logging_level="CRITICAL")


def test_each_of_2000_jobs_runs_once_among_stock_workers_and_ours(
    sync: Redis, stock: RQQueue, shell: Shell
) -> None:
    """On the queue: two of ours, RQ's SimpleWorker and its forking one."""
    with (
        at_work(make_worker(sync, name="ours", given=slots(1))),
        shell.start(*OUR_WORKER, "--name", "ours-too", NAME),
        shell.start("rq", "worker", "-w", "rq.SimpleWorker", "--name", "simple", NAME),
        shell.start("rq", "worker", "--name", "forking", NAME),
    ):
        until(lambda: sync.scard("rq:workers:chores") == 4, seconds=20)
        jobs = enqueue_many(stock, "chores.tell", COUNT)
        until(lambda: sync.llen("chores:ran") >= COUNT, seconds=30)
        until(lambda: stock.started_job_registry.count == 0)
    told: Any = sync.lrange("chores:ran", 0, -1)
    ran = [line.decode().split() for line in told]
    assert Counter(number for number, _ in ran) == dict.fromkeys(map(str, range(COUNT)), 1)
    assert {worker for _, worker in ran} == {"ours", "ours-too", "simple", "forking"}
    assert Counter(status_of(job) for job in jobs) == {"finished": COUNT}
    assert (stock.count, stock.finished_job_registry.count) == (0, COUNT)


async def test_what_mediaq_enqueues_stock_workers_run(sync: Redis, redis: AsyncRedis) -> None:
    ours = Queue(NAME, redis)
    first = await ours.enqueue("foreign.shout", "a", times=2, meta={"m": 1})
    second = await ours.enqueue("foreign.shout", "b", depends_on=first)
    third = await ours.enqueue("foreign.fail", retry=Retry(max=1))
    stock_burst(sync)
    jobs = [Job.fetch(job.id, connection=sync) for job in (first, second, third)]
    assert [job.return_value() for job in jobs] == ["AA", "B", None]
    assert [job.get_status() for job in jobs] == ["finished", "finished", "failed"]
    assert jobs[0].meta == {"m": 1}


async def test_what_mediaq_enqueues_our_worker_runs(sync: Redis, redis: AsyncRedis) -> None:
    ours = Queue(NAME, redis)
    first = await ours.enqueue("chores.anote", "a")
    second = await ours.enqueue("chores.anote", "b", depends_on=first)
    third = await ours.enqueue_in(timedelta(seconds=0), "chores.anote", "c")
    with at_work(make_worker(sync)):
        for job in (first, second, third):
            assert ended(Job.fetch(job.id, connection=sync), seconds=4) == "finished"


def test_what_stock_rq_enqueues_our_worker_runs(sync: Redis, stock: RQQueue) -> None:
    by_name = stock.enqueue("chores.anote", "a")
    by_function = stock.enqueue(chores.anote, what="b")
    together = stock.enqueue_many([RQQueue.prepare_data("chores.note", ("c",), job_id="c")])
    waiting = stock.enqueue("chores.anote", "d", depends_on=[by_name, by_function])
    at_front = stock.enqueue("chores.anote", "e", at_front=True)
    due = stock.enqueue_in(timedelta(seconds=0), "chores.anote", "f")
    with at_work(make_worker(sync)):
        for job in (by_name, by_function, *together, waiting, at_front, due):
            assert ended(job, seconds=4) == "finished"
    assert sorted(chores.noted) == list("abcdef")


def test_a_retry_that_ours_left_a_stock_worker_takes_up(sync: Redis, stock: RQQueue) -> None:
    job = stock.enqueue("foreign.fail", retry=Retry(max=3))
    work(make_worker(sync, given=options(functions=("foreign.*",))), max_jobs=2)
    assert (status_of(job), stock.count) == ("queued", 1)
    stock_burst(sync)
    job.refresh()
    assert (job.get_status(), job.retries_left) == ("failed", 0)


def test_a_retry_that_a_stock_worker_left_ours_takes_up(sync: Redis, stock: RQQueue) -> None:
    job = stock.enqueue("chores.afail", retry=Retry(max=3))
    StockWorker([NAME], connection=sync).work(burst=True, max_jobs=2, logging_level="CRITICAL")
    assert status_of(job) == "queued"
    burst(sync)
    job.refresh()
    assert (job.get_status(), job.retries_left) == ("failed", 0)


def test_a_stock_worker_frees_what_waits_for_a_job_of_ours_and_the_other_way_round(
    sync: Redis, stock: RQQueue
) -> None:
    first = stock.enqueue(foreign.shout, "a")
    second = stock.enqueue("chores.anote", "b", depends_on=first)
    third = stock.enqueue(foreign.shout, "c", depends_on=second)
    StockWorker([NAME], connection=sync).work(burst=True, max_jobs=1, logging_level="CRITICAL")
    assert [status_of(job) for job in (first, second, third)] == ["finished", "queued", "deferred"]
    work(make_worker(sync), max_jobs=1)
    assert [status_of(job) for job in (second, third)] == ["finished", "queued"]
    stock_burst(sync)
    assert status_of(third) == "finished"


def test_ours_takes_no_job_that_a_stock_worker_runs(sync: Redis, stock: RQQueue, shell: Shell) -> None:
    job = stock.enqueue("chores.rest", seconds=1)
    with shell.start("rq", "worker", NAME) as process:
        until(lambda: status_of(job) == "started", seconds=20)
        sync.rpush(stock.key, job.id)
        burst(sync)
        assert (status_of(job), stock.count) == ("started", 0)
        assert ended(job) == "finished"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
