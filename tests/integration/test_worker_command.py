"""`mediaq worker`: which queues, how many jobs at once, how many processes, and how they end."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from attrs import frozen
from numbers_kit import Numbers
from redis import Redis
from rq import Queue, Worker
from rq.job import Job

from mediaq.embedded import ports
from mediaq.settings import Queues

JOBS = '''
import asyncio, os

here = 0
met = asyncio.Event()

def pid():
    return os.getpid()

async def meet(others):
    """Returns once so many are here at the same time."""
    global here
    here += 1
    if here == others:
        met.set()
    await met.wait()
    seen = here
    await asyncio.sleep(0)
    here -= 1
    return seen

async def stay():
    await asyncio.Event().wait()

def die():
    os._exit(7)
'''
COMMAND = [sys.executable, "-m", "mediaq.cli", "worker"]
SETTINGS = {"MEDIAQ_WORKER__FUNCTIONS": '["shop.*"]', "MEDIAQ_WORKER__GRACE": "1"}
OWN = ("MEDIAQ_", "REDIS_URL", "RQ_")


@frozen
class Place:
    """A folder with jobs, and the environment of the programs that run in it."""

    folder: Path
    env: dict[str, str]

    @asynccontextmanager
    async def start(self, *command: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={**self.env, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            for child in children(process.pid):
                child.kill()
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *command: str, **env: str) -> tuple[int | None, str]:
        async with self.start(*command, **env) as process:
            output, _ = await process.communicate()
        return process.returncode, output.decode()


@pytest.fixture
def sync(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def place(tmp_path: Path, redis_url: str) -> Place:
    (tmp_path / "shop.py").write_text(JOBS)
    env = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return Place(tmp_path, {**env, "REDIS_URL": redis_url, **SETTINGS})


def children(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


async def until(check: Callable[[], Any]) -> Any:
    """Returns what a check of other processes gives once it is true."""
    async with asyncio.timeout(30):
        while not (found := await asyncio.to_thread(check)):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
        return found


async def ended(job: Job) -> Any:
    """Returns a job's result once it is finished."""
    await until(lambda: job.get_status() == "finished")
    return job.return_value()


def lines(output: str) -> list[str]:
    return [json.loads(line)["message"] for line in output.splitlines()]


async def test_without_queues_all_of_mediaqs_are_served_and_no_other(place: Place, sync: Redis) -> None:
    jobs = [Queue(name, connection=sync).enqueue("shop.pid") for name in Queues.names()]
    other = Queue("other", connection=sync).enqueue("shop.pid")
    status, output = await place.run(*COMMAND, "--burst")
    assert status == 0, output
    assert len({job.return_value() for job in jobs}) == 1
    assert other.get_status() == "queued"


async def test_a_queue_is_served_with_so_many_jobs_at_once_as_is_said(place: Place, sync: Redis) -> None:
    """On the command line, in the environment, or by default, in this order; each queue has its own."""
    wanted = {"first": 7, "second": 4, "third": 10}
    jobs = {
        name: [Queue(name, connection=sync).enqueue(f"{name}.meet", jobs) for _ in range(2 * jobs)]
        for name, jobs in wanted.items()
    }
    for name in wanted:
        (place.folder / f"{name}.py").write_text(JOBS)
    status, output = await place.run(
        *(*COMMAND, "--burst", "-q", "first=7", "--queue", "second", "-q", "third"),
        MEDIAQ_CONCURRENCY="first=2,second=4",
        MEDIAQ_WORKER__FUNCTIONS='["first.*", "second.*", "third.*"]',
    )
    assert status == 0, output
    most: dict[str, int] = {name: max(job.return_value() or 0 for job in jobs[name]) for name in jobs}
    assert most == wanted


async def test_several_processes_share_the_queues_and_end_together(place: Place, sync: Redis) -> None:
    queue = Queue("shop", connection=sync)
    async with place.start(*COMMAND, "-q", "shop=1", "--processes", "2") as process:
        await until(lambda: Worker.count(connection=sync) == 2)
        held = queue.enqueue("shop.stay")
        await until(lambda: held.get_status() == "started")
        assert await ended(queue.enqueue("shop.pid")) in {child.pid for child in children(process.pid)}
        process.send_signal(signal.SIGTERM)
        await until(lambda: held.get_status() == "queued")
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert Worker.count(connection=sync) == 0


async def test_a_process_that_dies_is_started_again_and_one_told_to_go_stays_away(
    place: Place, sync: Redis
) -> None:
    queue = Queue("shop", connection=sync)
    async with place.start(*COMMAND, "-q", "shop", "--processes", "2") as process:
        await until(lambda: Worker.count(connection=sync) == 2)
        first, second = children(process.pid)
        first.kill()
        third = await until(lambda: set(children(process.pid)) - {first, second})
        await until(lambda: Worker.count(connection=sync) == 3)
        second.terminate()
        await until(lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE)
        assert await ended(queue.enqueue("shop.pid")) in {child.pid for child in third}
        assert set(children(process.pid)) == third
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert process.returncode == 0
    [died] = [line for line in lines(output.decode()) if "starting it again" in line]
    assert died.endswith("was killed by signal 9; starting it again in 1 s")


async def test_processes_end_when_their_parent_is_killed(place: Place, sync: Redis) -> None:
    async with place.start(*COMMAND, "-q", "shop", "--processes", "2") as process:
        await until(lambda: Worker.count(connection=sync) == 2)
        left = children(process.pid)
        process.kill()
        await process.wait()
        await until(lambda: Worker.count(connection=sync) == 0)
        assert len(left) == 2
        await until(lambda: not any(child.is_running() for child in left))


async def test_a_burst_of_several_processes_tells_if_one_of_them_died(place: Place, sync: Redis) -> None:
    queue = Queue("shop", connection=sync)
    jobs = [queue.enqueue("shop.pid") for _ in range(4)]
    burst = [*COMMAND, "-q", "shop", "--processes", "2", "--burst"]
    assert (await place.run(*burst))[0] == 0
    assert {job.get_status() for job in jobs} == {"finished"}
    queue.enqueue("shop.die")
    status, output = await place.run(*burst)
    assert status == 1
    assert "starting it again" not in output


async def test_what_is_not_allowed_does_not_run(place: Place, sync: Redis) -> None:
    job = Queue("shop", connection=sync).enqueue("os.mkdir", str(place.folder / "made"))
    status, _ = await place.run(*COMMAND, "--burst", "-q", "shop")
    assert status == 0
    assert job.get_status() == "failed"
    assert "'os.mkdir' is not among the worker's allowed functions" in str(vars(job.latest_result()))
    assert not (place.folder / "made").exists()


async def test_a_redis_that_is_away_is_one_line(place: Place) -> None:
    status, output = await place.run(*COMMAND, REDIS_URL="redis://127.0.0.1:1")
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith("mediaq: Redis cannot be used: Error 111 connecting to 127.0.0.1:1.")


async def test_rqs_own_command_runs_the_configured_worker(place: Place, sync: Redis) -> None:
    jobs = [Queue("shop", connection=sync).enqueue("shop.meet", 3) for _ in range(6)]
    command = ["rq.cli", "worker", "--burst", "--worker-class", "mediaq.AsyncWorker", "shop"]
    status, output = await place.run(sys.executable, "-m", *command, MEDIAQ_CONCURRENCY="shop=3")
    assert status == 0, output
    assert {job.return_value() for job in jobs} <= {1, 2, 3}


def numbers(port: int) -> Numbers | None:
    try:
        return Numbers.read(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    except httpx.TransportError:
        return None


def read_when(port: int, said: Callable[[Numbers], bool]) -> Callable[[], Numbers | None]:
    """Reads a page of numbers; None where there is none yet, or it does not say what is waited for."""

    def read() -> Numbers | None:
        found = numbers(port)
        return found if found is not None and said(found) else None

    return read


async def test_the_numbers_of_several_processes_are_on_one_page(place: Place, sync: Redis) -> None:
    queue, port = Queue("shop", connection=sync), ports.free_port()
    up = "mediaq_process_up"
    command = [*COMMAND, "-q", "shop=1", "--processes", "2"]
    async with place.start(*command, MEDIAQ_WORKER__METRICS_PORT=str(port)) as process:
        await until(read_when(port, lambda found: found.sum(up) == 2))
        for _ in range(2):
            queue.enqueue("shop.stay")
        used = {"queue": "shop", "state": "used"}
        found = await until(read_when(port, lambda found: found.sum("mediaq_worker_slots", **used) == 2))
        assert [found.sum("mediaq_worker_slots", process=each, **used) for each in ("1", "2")] == [1, 1]
        first, _ = children(process.pid)
        first.kill()
        # The other goes on to answer, and tells that one is missing.
        await until(read_when(port, lambda found: found.sum(up) == 1))
        await until(read_when(port, lambda found: found.sum(up) == 2))
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert numbers(port) is None


async def test_a_worker_that_rqs_command_runs_shows_its_numbers(place: Place, sync: Redis) -> None:
    """And needs neither Postgres nor AWS for it."""
    queue, port = Queue("shop", connection=sync), ports.free_port()
    for name in ("shop.pid", "shop.pid", "os.mkdir"):
        queue.enqueue(name)
    command = [sys.executable, "-m", "rq.cli", "worker", "-w", "mediaq.AsyncWorker", "shop"]
    told = {"MEDIAQ_WORKER__METRICS_PORT": str(port), "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    async with place.start(*command, **told):
        count = "mediaq_job_seconds_count"
        found = await until(read_when(port, lambda found: found.sum(count) == 3))
    assert found.sum(count, queue="shop", outcome="finished") == 2
    assert found.sum(count, queue="shop", outcome="refused") == 1


async def test_several_processes_do_not_begin_where_their_port_is_anothers(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, output = await place.run(*COMMAND, "--processes", "2", MEDIAQ_WORKER__METRICS_PORT=port)
    assert status == 1
    assert output.startswith("mediaq: worker.metrics_port: cannot listen at 127.0.0.1, port")
