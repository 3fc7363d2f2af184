"""rq-dashboard at /rq: for admins, with what it may do to the queues, and without what it would execute."""

import base64
import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import rq_dashboard.web as stock
from house import USER, Api, serving, token_for
from redis import Redis
from rq import Queue, Worker
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import DefaultSerializer

from mediaq.embedded import ports
from mediaq.settings import Settings, load_settings

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(autouse=True)
def _plain(overrides: dict[str, str]) -> None:
    """Has cookies sent over plain HTTP."""
    overrides["MEDIAQ_AUTH__COOKIE_SECURE"] = "false"


@pytest.fixture
def held(settings: Settings) -> Any:
    """A queue that no worker serves."""
    with Redis.from_url(settings.redis.url) as redis:
        yield Queue("held", connection=redis)


@pytest.fixture
def admin(api: Api) -> httpx.AsyncClient:
    """The service to an admin's program."""
    api.http.headers.update(api.as_user("admin", admin=True))
    return api.http


async def sign_in(api: Api) -> dict[str, str]:
    """Signs an admin's browser in; returns the header that the dashboard's pages send."""
    answer = await api.http.post("/api/session", headers=api.as_user("admin", admin=True))
    assert answer.status_code == 200, answer.text
    # As its pages do, by the cookie that they look for.
    return {"X-CSRFToken": api.http.cookies["_csrf_token"]}


async def test_who_is_no_admin_sees_nothing(api: Api) -> None:
    for path in ("/rq/", "/rq/0/data/queues.json", "/rq/static/css/main.css", "/rq/nowhere"):
        assert (await api.http.get(path)).status_code == 401
        refused = await api.http.get(path, headers=api.as_user(USER))
        assert (refused.status_code, refused.json()["error"]) == (403, "this is for admins only")


@pytest.mark.parametrize(("user", "status"), [(None, 401), (USER, 403)])
async def test_a_browser_is_told_how_to_sign_in(api: Api, user: str | None, status: int) -> None:
    answer = await api.http.get("/rq/", headers=HTML | (api.as_user(user) if user else {}))
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert 'fetch("/api/session"' in answer.text
    [nonce] = set(re.findall(r'nonce="([^"]+)"', answer.text))
    assert f"script-src 'nonce-{nonce}'" in answer.headers["content-security-policy"]


async def test_an_admin_sees_it_with_links_and_files_of_the_path_it_is_mounted_at(
    api: Api, held: Queue
) -> None:
    held.enqueue("os.getpid")
    await sign_in(api)
    page = await api.http.get("/rq", headers=HTML, follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, "/rq/")
    links = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
    assert len(links) > 5
    for link in links:
        assert link.startswith("/rq/")
        assert (await api.http.get(link, follow_redirects=True)).status_code == 200
    [queue] = (await api.http.get("/rq/0/data/queues.json")).json()["queues"]
    assert (queue["name"], queue["count"]) == ("held", 1)
    assert queue["queued_url"].startswith("/rq/0/view/jobs/held/queued/")


async def test_its_address_is_shown_without_the_password(
    admin: httpx.AsyncClient, settings: Settings
) -> None:
    password = urlsplit(settings.redis.url).password
    page = (await admin.get("/rq/")).text
    assert "redis://***:***@" in page
    assert password
    assert f":{password}@" not in page


async def test_its_buttons_work_with_the_csrf_token_alone(api: Api, held: Queue) -> None:
    jobs = [held.enqueue("os.getpid") for _ in range(3)]
    csrf = await sign_in(api)
    delete, empty = f"/rq/job/{jobs[0].id}/delete", "/rq/queue/held/queued/empty"
    for path in (delete, empty, "/rq/requeue/held"):
        assert (await api.http.post(path)).status_code == 403
        assert (await api.http.post(path, headers=csrf | {"Origin": "http://evil.org"})).status_code == 403
    assert held.count == 3
    assert (await api.http.post(delete, headers=csrf)).json() == {"status": "OK"}
    assert held.job_ids == [job.id for job in jobs[1:]]
    assert (await api.http.post(empty, headers=csrf)).json() == {"status": "OK"}
    assert held.count == 0


def fail(job: Job, queue: Queue) -> None:
    """Puts a job where failed ones are."""
    queue.remove(job.id)
    job.set_status(JobStatus.FAILED)
    queue.failed_job_registry.add(job, ttl=1000)


async def test_a_link_requeues_nothing(api: Api, held: Queue) -> None:
    job = held.enqueue("os.getpid")
    fail(job, held)
    csrf = await sign_in(api)
    for method in ("GET", "HEAD"):
        assert (await api.http.request(method, "/rq/requeue/held")).status_code == 405
    assert (held.count, job.is_failed) == (0, True)
    assert (await api.http.post("/rq/requeue/held", headers=csrf)).json() == {"status": "OK", "count": 1}
    assert held.job_ids == [job.id]


async def test_what_is_not_there_is_said_plainly(admin: httpx.AsyncClient) -> None:
    for path in ("/rq/0/view/job/gone", "/rq/0/data/job/gone.json"):
        answer = await admin.get(path)
        assert (answer.status_code, answer.text) == (404, "There is no such job any more.")
    assert (await admin.get("/rq/1/data/queues.json")).status_code == 404


async def test_without_redis_it_says_so_soon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{ports.free_port()}")
    headers = {"Authorization": f"Bearer {token_for('admin', admin=True)}"}
    async with serving(load_settings()) as url, httpx.AsyncClient(base_url=url, headers=headers) as http:
        answer = await http.get("/rq/0/data/queues.json", timeout=3)
    assert (answer.status_code, answer.text) == (503, "Redis cannot be reached: try again later.")


async def test_where_it_is_not_installed_it_is_absent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("rq_dashboard", "mediaq.service.stock"))]:
        monkeypatch.delitem(sys.modules, name)
    # As if there were none.
    monkeypatch.setitem(sys.modules, "rq_dashboard", None)
    async with serving(settings) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.get("/rq/")
        assert (answer.status_code, "not installed here" in answer.json()["error"]) == (404, True)
        assert (await http.get("/healthz")).status_code == 200


# What stands in Redis is not executed


class Malice:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def malice(tmp_path: Path) -> bytes:
    payload = pickle.dumps(Malice(tmp_path / "executed"))
    pickle.loads(pickle.dumps(Malice(tmp_path / "works")))  # noqa: S301 - this is what is feared
    assert (tmp_path / "works").exists()
    return payload


def spoil(job: Job, malice: bytes) -> None:
    """Puts malice wherever a job has a pickle."""
    job.connection.hset(job.key, mapping={"data": malice, "meta": malice, "result": malice})
    value = base64.b64encode(malice)
    job.connection.xadd(Result.get_key(job.id), {"type": Result.Type.SUCCESSFUL.value, "return_value": value})


def pages(job: Job) -> list[str]:
    lists = [
        f"/rq/0/{kind}/jobs/held/{registry}/8/{order}/1{end}"
        for registry in ("queued", "failed", "finished", "started", "deferred", "scheduled", "canceled")
        for order in ("asc", "dsc")
        for kind, end in (("view", ""), ("data", ".json"))
    ]
    singles = [f"/rq/0/view/job/{job.id}", f"/rq/0/data/job/{job.id}.json"]
    return [
        "/rq/",
        "/rq/0/view/workers",
        "/rq/0/data/workers.json",
        "/rq/0/data/queues.json",
        *singles,
        *lists,
    ]


@pytest.mark.parametrize("where", ["queued", "failed", "finished", "running"])
async def test_a_pickle_that_names_a_function_is_not_executed(
    admin: httpx.AsyncClient, held: Queue, malice: bytes, tmp_path: Path, where: str
) -> None:
    job = held.enqueue("os.getpid", description="spoilt")
    if where == "failed":
        fail(job, held)
    if where == "finished":
        held.remove(job.id)
        held.finished_job_registry.add(job, ttl=1000)
    if where == "running":
        run(job)
    spoil(job, malice)
    for page in pages(job):
        answer = await admin.get(page, follow_redirects=True)
        assert answer.status_code == 200, page
    shown = (await admin.get(f"/rq/0/data/job/{job.id}.json")).json()
    assert (shown["id"], shown["description"]) == (job.id, "spoilt")
    assert "only plain values are read" in shown["result"]
    assert "unserialized" in shown["metadata"]
    assert not (tmp_path / "executed").exists()


def run(job: Job) -> None:
    """Leaves in Redis what a worker does that runs a job."""
    worker = Worker(["held"], connection=job.connection)
    worker.register_birth()
    worker.prepare_execution(job)


async def test_what_it_does_to_a_job_executes_nothing_and_leaves_its_pickles_as_they_are(
    api: Api, held: Queue, malice: bytes, tmp_path: Path
) -> None:
    job = held.enqueue("os.getpid")
    fail(job, held)
    spoil(job, malice)
    csrf = await sign_in(api)
    assert (await api.http.post(f"/rq/job/{job.id}/requeue", headers=csrf)).status_code == 200
    assert held.job_ids == [job.id]
    assert held.connection.hget(job.key, "meta") == malice
    assert (await api.http.post("/rq/queue/held/compact", headers=csrf)).status_code == 200
    fail(job, held)
    assert (await api.http.post("/rq/queue/held/failed/empty", headers=csrf)).status_code == 200
    assert not held.connection.exists(job.key)
    assert not (tmp_path / "executed").exists()


async def test_a_stock_dashboard_beside_it_stays_as_it_is(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/rq/")).status_code == 200
    assert (stock.Job, stock.Queue, stock.config.serializer) == (Job, Queue, DefaultSerializer)


async def test_values_that_json_has_no_form_for_are_shown(admin: httpx.AsyncClient, held: Queue) -> None:
    job = held.enqueue("os.getpid", meta={"bytes": b"1"})
    Result.create(job, Result.Type.SUCCESSFUL, ttl=1000, return_value={"set": {1}, "bytes": b"2"})
    shown = (await admin.get(f"/rq/0/data/job/{job.id}.json")).json()
    assert shown["result"] == {"set": "{1}", "bytes": "b'2'"}
    assert "b'1'" in shown["metadata"]


async def test_only_the_pages_own_scripts_run(admin: httpx.AsyncClient, held: Queue) -> None:
    """They show descriptions and results without escaping them; a caller's text may be in those."""
    job = held.enqueue("os.getpid")
    for page in ("/rq/", f"/rq/0/view/job/{job.id}", "/rq/0/view/jobs", "/rq/0/view/workers"):
        answer = await admin.get(page)
        [nonce] = set(re.findall(r'<script nonce="([^"]+)"', answer.text))
        assert answer.text.count("<script") == answer.text.count(f'<script nonce="{nonce}"') > 0
        policy = answer.headers["content-security-policy"]
        assert f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval';" in policy
        assert "frame-ancestors 'none'" in policy
