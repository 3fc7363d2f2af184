"""A worker's memory does not grow with the jobs it has run."""

import psutil
from rq import Queue
from worker_kit import NAME, OUR_WORKER, Shell, until

pytest_plugins = ["queue_fixtures", "worker_fixtures"]

ROUND = 5_000
MB = 2**20


def test_memory_is_flat(stock: Queue, shell: Shell) -> None:
    """Over 20,000 jobs, of which the first 5,000 may warm it up."""
    with shell.start(*OUR_WORKER, "--logging_level", "CRITICAL", NAME) as process:
        sizes = [run_round(stock, process.pid) for _ in range(4)]
    assert sizes[-1] - sizes[0] < 2 * MB, sizes


def run_round(stock: Queue, pid: int) -> int:
    """Has so many jobs run, coroutines, plain functions and failing ones; the worker's memory after them."""
    functions = ["chores.echo"] * 18 + ["chores.echo_thread", "chores.afail"]
    stock.enqueue_many(
        [
            Queue.prepare_data(functions[turn % 20], ("x" * 100,), result_ttl=0, failure_ttl=0)
            for turn in range(ROUND)
        ]
    )
    until(lambda: stock.count == 0 and stock.started_job_registry.count == 0, seconds=30)
    return int(psutil.Process(pid).memory_info().rss)
