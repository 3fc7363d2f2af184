"""Servers that are away: 503 with nothing done, or accepted and kept."""

import httpx
import pytest
from house import USER, Api, StandIn, serving, token_for, work

from mediaq.embedded import ports, samples
from mediaq.queue import keys
from mediaq.resources import Resources
from mediaq.settings import Settings, load_settings

TEXT = {
    "mediaItemId": "m",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{ports.free_port()}"


async def assert_away(http: httpx.AsyncClient, what: str, *requests: tuple[str, str]) -> None:
    headers = {"Authorization": f"Bearer {token_for(USER)}"}
    for method, path in requests:
        answer = await http.request(method, path, json=TEXT, headers=headers)
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"] == f"{what} cannot be reached; nothing was done, try again later"
        assert int(answer.headers["retry-after"]) > 0


@pytest.fixture
def no_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch, nowhere: str) -> Settings:
    monkeypatch.setenv("MEDIAQ_REDIS__URL", f"redis://{nowhere}/0")
    return load_settings()


@pytest.fixture
def no_postgres(settings: Settings, monkeypatch: pytest.MonkeyPatch, nowhere: str) -> Settings:
    monkeypatch.setenv("MEDIAQ_DATABASE__URL", f"postgresql://postgres@{nowhere}/mediaq")
    return load_settings()


async def test_without_redis_nothing_is_accepted(no_redis: Settings, resources: Resources) -> None:
    async with serving(no_redis) as url, httpx.AsyncClient(base_url=url) as http:
        await assert_away(http, "Redis", ("POST", "/api/queues/text-analysis"), ("GET", "/api/queues"))
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["away"]) == (503, ["redis"])
        assert (await http.get("/healthz")).status_code == 200
    for table in ("jobs", "media_items"):
        assert await resources.store.pool.fetchval(f"select count(*) from {table}") == 0  # noqa: S608 - a constant


async def test_without_postgres_nothing_is_accepted(no_postgres: Settings, resources: Resources) -> None:
    paths = ("POST", "/api/queues/text-analysis"), ("GET", "/api/queues/text-analysis/0123")
    async with serving(no_postgres) as url, httpx.AsyncClient(base_url=url) as http:
        await assert_away(http, "Postgres", *paths)
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["away"]) == (503, ["postgres"])
    assert await resources.redis.keys("rq:job:*") == []


@pytest.mark.usefixtures("impatient")
async def test_without_s3_a_video_job_waits_uncharged_for_its_next_attempt(
    api: Api, standin: StandIn, monkeypatch: pytest.MonkeyPatch, nowhere: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{nowhere}")
    operations = {"detectLabels": True, "generateThumbnails": True}
    body = {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": operations}
    job = await api.run("video-processing", body)
    assert (job["status"], job["attemptsMade"], job["costs"]) == ("delayed", 1, [])
    assert "detectLabels: S3 cannot be reached" in job["failedReason"]
    assert standin.calls() == []


async def until_pushed(resources: Resources, queue: str) -> None:
    """Waits until the reconciler has pushed a job."""
    await resources.redis.brpoplpush(keys.queue(queue), keys.queue(queue), timeout=20)


async def test_a_job_that_redis_forgot_is_pushed_again_and_completes(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    await resources.redis.flushall()
    await until_pushed(resources, "text-analysis")
    await work(api.settings, "text-analysis")
    job = await api.job("text-analysis", job_id)
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)


async def test_a_job_whose_worker_died_goes_on_where_it_was(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """The attempt of a worker that is gone goes on, and what it had done is not done again."""
    await api.upload("p.jpg", samples.draw_picture())
    body = {"mediaItemId": "m", "s3Key": "p.jpg", "operations": {"detectLabels": True, "detectText": True}}
    job = await api.run("image-processing", body)
    await resources.store.pool.execute(
        "update jobs set status = 'active', lease_until = now() - interval '1 s', finished_at = null"
    )
    await resources.store.pool.execute("delete from operation_runs where operation = 'detectText'")
    await resources.store.pool.execute("update jobs set accepted_at = now() - interval '1 minute'")
    await resources.redis.flushall()
    standin.clear()
    await until_pushed(resources, "image-processing")
    await work(api.settings, "image-processing")
    again = await api.job("image-processing", job["id"])
    assert (again["status"], again["attemptsMade"]) == ("completed", 1)
    assert [call["operation"] for call in standin.billed()] == ["DetectText"]
