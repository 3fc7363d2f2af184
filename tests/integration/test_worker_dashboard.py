"""rq-dashboard shows the truth about a worker that runs many jobs at once."""

from collections.abc import Iterator
from typing import Any

import chores
import httpx
import pytest
from attrs import frozen
from redis import Redis
from rq import Queue
from rq.job import Job
from worker_kit import NAME, Shell, at_work, ended, enqueue_many, make_worker, until

from mediaq.embedded import ports

pytest_plugins = ["queue_fixtures", "worker_fixtures"]


@frozen
class Dashboard:
    http: httpx.Client

    def data(self, path: str) -> Any:
        answer = self.http.get(f"/0/data/{path}.json")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def counts(self, *registries: str) -> list[int]:
        """How many jobs of the queue wait, and how many stand in each of the registries."""
        [queue] = [queue for queue in self.data("queues")["queues"] if queue["name"] == NAME]
        return [queue["count"], *(queue[f"{registry}_job_registry_count"] for registry in registries)]

    def jobs(self, registry: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data(f"jobs/{NAME}/{registry}/50/asc/1")["jobs"]
        return found

    def page(self, path: str) -> str:
        answer = self.http.get(f"/0/view/{path}")
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
def dashboard(shell: Shell) -> Iterator[Dashboard]:
    port = ports.free_port()
    with (
        shell.start("rq-dashboard", "--bind", "127.0.0.1", "--port", str(port)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True) as http,
    ):
        until(lambda: is_up(http), seconds=30)
        yield Dashboard(http)


def is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/0/data/queues.json").status_code == 200
    except httpx.TransportError:
        return False


def test_running_jobs_and_their_worker(sync: Redis, stock: Queue, dashboard: Dashboard) -> None:
    jobs = enqueue_many(stock, "chores.hold", 13)
    with at_work(make_worker(sync, name="alice")):
        until(lambda: chores.room.inside == 10)
        running, waiting = jobs[:10], jobs[10:]
        assert dashboard.counts("started", "finished", "failed") == [3, 10, 0, 0]
        assert {job["id"].split(":")[0] for job in dashboard.jobs("started")} == {job.id for job in running}
        assert [job["id"] for job in dashboard.jobs("queued")] == [job.id for job in waiting]
        [worker] = dashboard.data("workers")["workers"]
        assert (worker["name"], worker["state"], worker["queues"]) == ("alice", "busy", [NAME])
        assert worker["current_job"]["job_id"] in {job.id for job in running}
        for page in ("queues", "workers", "jobs", f"job/{jobs[0].id}"):
            assert "<html" in dashboard.page(page)


def test_results_errors_and_progress(sync: Redis, stock: Queue, dashboard: Dashboard) -> None:
    good = stock.enqueue("chores.progress_thread", 7, description="progress of seven")
    bad = stock.enqueue("chores.afail", "no luck")
    refused = stock.enqueue("os.system", "true")
    with at_work(make_worker(sync)):
        for job in (good, bad, refused):
            ended(job)
        assert dashboard.counts("started", "finished", "failed") == [0, 0, 1, 2]
        shown = {job.id: dashboard.data(f"job/{job.id}") for job in (good, bad, refused)}
        assert (shown[good.id]["status"], shown[good.id]["result"]) == ("finished", 7)
        assert shown[good.id]["description"] == "progress of seven"
        assert '"step": 7' in shown[good.id]["metadata"]
        assert "ValueError: no luck" in shown[bad.id]["exc_info"]
        assert "allowed functions" in shown[refused.id]["exc_info"]
        [worker] = dashboard.data("workers")["workers"]
        assert (worker["state"], worker["successful_job_count"], worker["failed_job_count"]) == ("idle", 1, 2)


def test_what_it_deletes_and_requeues(sync: Redis, stock: Queue, dashboard: Dashboard) -> None:
    bad = stock.enqueue("chores.afail", "no luck")
    with at_work(make_worker(sync)):
        ended(bad)
        first = bad.latest_result()
        assert dashboard.http.post(f"/job/{bad.id}/requeue").status_code == 200
        until(lambda: len(bad.results()) == 2)
        assert first is not None
        held = stock.enqueue("chores.hold", "held")
        until(lambda: chores.room.inside == 1)
        assert dashboard.http.post(f"/job/{held.id}/delete").status_code == 200
        [worker] = dashboard.data("workers")["workers"]
        assert worker["current_job"] == "idle", "RQ shows nothing of what it has deleted"
        chores.release()
        until(lambda: chores.noted == ["held"])
        until(lambda: stock.started_job_registry.count == 0)
    assert not Job.exists(held.id, connection=sync)
