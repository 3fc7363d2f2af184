"""What jobs share while their worker lives: the first that needs it opens it, the worker closes it."""

import asyncio

import chores
import pytest
from penalty import Penalty
from redis import Redis
from rq import Queue, SimpleWorker
from rq.command import send_stop_job_command
from worker_kit import at_work, burst, ended, error_of, make_worker, until

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


def test_it_is_opened_once_and_closed_when_the_worker_ends(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.shop") for _ in range(30)]
    with at_work(make_worker(sync)):
        for job in jobs:
            assert ended(job) == "finished"
        assert (chores.opened, chores.closed) == (["corner"], [])
    assert (chores.opened, chores.closed) == (["corner"], ["corner"])
    assert len({job.return_value() for job in jobs}) == 1


def test_each_key_has_its_own(sync: Redis, stock: Queue) -> None:
    for name in ("corner", "market", "corner"):
        stock.enqueue("chores.shop", name)
    burst(sync)
    assert sorted(chores.opened) == sorted(chores.closed) == ["corner", "market"]


def test_two_workers_of_a_process_have_their_own(sync: Redis, stock: Queue) -> None:
    for _ in range(2):
        stock.enqueue("chores.shop")
        burst(sync)
    assert chores.opened == chores.closed == ["corner", "corner"]


def test_it_is_still_open_for_jobs_that_clean_up_when_the_worker_stops(sync: Redis, stock: Queue) -> None:
    stock.enqueue("chores.shop_and_stay")
    with at_work(make_worker(sync), release=False):
        until(lambda: chores.room.inside == 1)
    assert chores.noted == ["still open"]
    assert chores.closed == ["corner"]


@pytest.mark.parametrize("error", [LookupError("closed today"), asyncio.CancelledError("closed today")])
def test_what_fails_to_open_fails_those_that_wait_and_is_tried_again(
    sync: Redis, stock: Queue, error: BaseException
) -> None:
    chores.failing.append(error)
    jobs = [stock.enqueue("chores.shop") for _ in range(5)]
    with at_work(make_worker(sync)):
        assert {ended(job) for job in jobs} == {"failed"}
        assert "closed today" in error_of(jobs[0])
        assert ended(stock.enqueue("chores.shop")) == "finished"
    assert chores.opened == ["corner", "corner"]
    assert chores.closed == ["corner"]


def test_a_job_stopped_while_it_waits_takes_it_from_nobody(sync: Redis, stock: Queue) -> None:
    first, second = (stock.enqueue("chores.shop_slowly") for _ in range(2))
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 1)
        send_stop_job_command(sync, first.id)
        assert ended(first) == "stopped"
        chores.release()
        assert ended(second) == "finished"


def test_a_failure_that_nobody_waits_for_any_more_harms_nobody(sync: Redis, stock: Queue) -> None:
    chores.failing.append(LookupError("closed today"))
    job = stock.enqueue("chores.shop_slowly")
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 1)
        send_stop_job_command(sync, job.id)
        assert ended(job) == "stopped"
        chores.release()
        assert ended(stock.enqueue("chores.shop_slowly")) == "finished"


class StockWorker(SimpleWorker):
    death_penalty_class = Penalty


def test_on_a_loop_of_its_own_a_job_has_its_own(sync: Redis, stock: Queue) -> None:
    on_its_own = [stock.enqueue("chores.shop_on_a_loop_of_its_own") for _ in range(2)]
    shared = [stock.enqueue("chores.shop") for _ in range(2)]
    with at_work(make_worker(sync)):
        assert {ended(job) for job in on_its_own + shared} == {"finished"}
        assert (len(chores.opened), len(chores.closed)) == (3, 2)


def test_a_stock_worker_opens_it_for_each_job(sync: Redis, stock: Queue) -> None:
    jobs = [stock.enqueue("chores.shop") for _ in range(2)]
    StockWorker([stock], connection=sync).work(burst=True, logging_level="CRITICAL")
    assert {ended(job) for job in jobs} == {"finished"}
    assert chores.opened == chores.closed == ["corner", "corner"]
