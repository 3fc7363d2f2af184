"""Servers that are away: 503 with nothing done, or accepted and kept."""

import asyncio

import pytest
from house import USER, Api, StandIn, work

from mediaq.embedded import ports, samples
from mediaq.queue import keys
from mediaq.resources import Resources

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


async def assert_away(api: Api, what: str, *requests: tuple[str, str]) -> None:
    for method, path in requests:
        answer = await api.http.request(method, path, json=TEXT, headers=api.as_user(USER))
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"] == f"{what} cannot be reached; nothing was done, try again later"
        assert int(answer.headers["retry-after"]) > 0


class TestRedisAway:
    @pytest.fixture
    def settings_without(self, monkeypatch: pytest.MonkeyPatch, nowhere: str) -> None:
        monkeypatch.setenv("MEDIAQ_REDIS__URL", f"redis://{nowhere}/0")

    async def test_nothing_is_accepted(self, settings_without: None, api: Api, resources: Resources) -> None:
        await assert_away(api, "Redis", ("POST", "/api/queues/text-analysis"), ("GET", "/api/queues"))
        assert await resources.store.pool.fetchval("select count(*) from jobs") == 0
        assert await resources.store.pool.fetchval("select count(*) from media_items") == 0
        ready = await api.http.get("/readyz")
        assert (ready.status_code, ready.json()["away"]) == (503, ["redis"])
        assert (await api.http.get("/healthz")).status_code == 200


class TestPostgresAway:
    @pytest.fixture
    def settings_without(self, monkeypatch: pytest.MonkeyPatch, nowhere: str) -> None:
        monkeypatch.setenv("MEDIAQ_DATABASE__URL", f"postgresql://postgres@{nowhere}/mediaq")

    async def test_nothing_is_accepted(self, settings_without: None, api: Api, resources: Resources) -> None:
        await assert_away(
            api,
            "Postgres",
            ("POST", "/api/queues/text-analysis"),
            ("GET", "/api/queues/text-analysis/0123"),
        )
        assert await resources.redis.keys("rq:job:*") == []
        ready = await api.http.get("/readyz")
        assert (ready.status_code, ready.json()["away"]) == (503, ["postgres"])


class TestS3Away:
    @pytest.fixture
    def s3_gone(self, monkeypatch: pytest.MonkeyPatch, nowhere: str, api: Api) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{nowhere}")

    async def test_a_video_job_waits_uncharged_for_its_next_attempt(
        self, impatient: None, api: Api, standin: StandIn, s3_gone: None
    ) -> None:
        operations = {"detectLabels": True, "generateThumbnails": True}
        job = await api.run(
            "video-processing", {"mediaItemId": "m", "s3Key": "clip.mp4", "operations": operations}
        )
        assert (job["status"], job["attemptsMade"], job["costs"]) == ("delayed", 1, [])
        assert "detectLabels: S3 cannot be reached" in job["failedReason"]
        assert standin.calls() == []


async def test_a_job_that_redis_forgot_is_pushed_again_and_completes(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    job_id = await api.accept("text-analysis", TEXT)
    await resources.redis.flushall()
    async with asyncio.timeout(20):
        while not await resources.redis.exists(keys.job(job_id)):
            await asyncio.sleep(0.05)
    await work(api.settings, "text-analysis")
    job = await api.job("text-analysis", job_id)
    assert (job["status"], job["attemptsMade"]) == ("completed", 1)


async def test_a_job_whose_worker_died_goes_on_where_it_was(
    api: Api, resources: Resources, standin: StandIn
) -> None:
    """The started job of a worker that is gone: its attempt goes on, and what it had done is not done again."""
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
    async with asyncio.timeout(20):
        while not await resources.redis.exists(keys.job(job["id"])):
            await asyncio.sleep(0.05)
    await work(api.settings, "image-processing")
    again = await api.job("image-processing", job["id"])
    assert (again["status"], again["attemptsMade"]) == ("completed", 1)
    assert [call["operation"] for call in standin.billed()] == ["DetectText"]
