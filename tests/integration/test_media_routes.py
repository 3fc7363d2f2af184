"""Media items over HTTP: shown with what belongs to them, and deleted, whatever their jobs are doing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import rq
from cuttable import Cuttable
from house import OTHER, USER, Api, StandIn, work
from redis import Redis
from store_kit import CHARGE, accepted, completed, started

from mediaq.embedded import samples
from mediaq.erasure import clear_due
from mediaq.errors import FenceLost, Refused, Unanswered
from mediaq.model import Chunk, Settled, Vector
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.resources import Resources
from mediaq.store import attempts, operations
from mediaq.store.media import derive_statuses
from mediaq.store.pool import Store
from mediaq.worker import working

TEXT, VIDEO = "text-analysis", "video-processing"
NOTE = {"mediaItemId": "note", "text": "A wonderful day in Paris.", "operations": {"detectSentiment": True}}
FILM = {
    "mediaItemId": "film",
    "s3Key": "uploads/clip.mp4",
    "operations": {
        "transcribe": {"languageCode": "en-US", "subtitles": ["srt"]},
        "generateThumbnails": {"count": 2},
    },
}


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


def as_caller(api: Api, user: str, *, admin: bool) -> dict[str, str]:
    return api.as_user(user, admin=True) if admin else api.as_user(user)


async def show(api: Api, item: str, user: str = USER, *, admin: bool = False) -> httpx.Response:
    return await api.http.get(f"/api/media/{item}", headers=as_caller(api, user, admin=admin))


async def delete(api: Api, item: str, user: str = USER, *, admin: bool = False) -> httpx.Response:
    return await api.http.delete(f"/api/media/{item}", headers=as_caller(api, user, admin=admin))


async def until(look: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while not await look():  # noqa: ASYNC110 - it comes true in another process
            await asyncio.sleep(0.02)


async def rows(store: Store, table: str) -> int:
    return int(await store.pool.fetchval(f"select count(*) from {table}"))  # noqa: S608 - names of the test's own


async def make_due(store: Store, *, ended: bool = False) -> None:
    """Lets the time pass until the next look at what deleted jobs left, or until the last one."""
    await store.pool.execute(
        "update erasures set due_at = now(), ends_at = case when $1 then now() else ends_at end", ended
    )


def objects_in(api: Api) -> list[str]:
    """The keys in the test's bucket."""
    listing = httpx.get(f"{api.s3_url}/{api.bucket}").text
    return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]


def keys_of(api: Api, job_id: str) -> list[bytes]:
    """What Redis has of a job."""
    with Redis.from_url(api.settings.redis.url) as redis:
        named = list(redis.scan_iter(f"*{job_id}*"))
        holding = [
            key
            for pattern in (
                "rq:finished:*",
                "rq:failed:*",
                "rq:canceled:*",
                "rq:scheduled:*",
                "mediaq:ended:*",
            )
            for key in redis.scan_iter(pattern)
            if redis.zscore(key, job_id) is not None
        ]
        holding += [key for key in redis.scan_iter("rq:queue:*") if redis.type(key) == b"list"
                    and job_id.encode() in redis.lrange(key, 0, -1)]  # fmt: skip
    return named + holding


# Shown.


async def test_an_item_is_shown_with_its_results_jobs_and_costs(api: Api, standin: StandIn) -> None:
    first = await api.run(TEXT, NOTE)
    second = await api.run(
        "embedding-generation", {"mediaItemId": "note", "contentType": "text", "content": "Paris"}
    )
    answer = await show(api, "note")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["mediaItemId"], shown["status"]) == ("note", "completed")
    assert shown["metadata"]["sentiment"] == first["returnvalue"]["sentiment"]
    assert shown["metadata"]["embeddingSource"] == "generated"
    assert shown["cost"] == pytest.approx(first["cost"] + second["cost"])
    assert shown["cost"] == shown["metadata"]["processingCost"]
    assert shown["possibleCost"] == 0
    assert shown["createdAt"] <= first["processedOn"] < shown["updatedAt"]
    assert shown["jobs"] == [
        {"id": job["id"], "jobType": job["jobType"], "status": "completed", "links": job["links"]}
        for job in (second, first)
    ]
    (vector,) = shown["embeddings"]
    assert vector.pop("createdAt") >= shown["createdAt"]
    assert vector == {"model": "amazon.titan-embed-text-v2:0", "dimensions": 1024, "chunks": 0}


async def test_chunks_are_counted_and_jobs_are_the_newest(api: Api, store: Store) -> None:
    job = await started(store, await accepted(store, media_item_id="a/b", user_id=USER))
    run = await operations.begin(store, job, "bedrock", "generateEmbedding", estimate=CHARGE)
    vector = Vector(
        "m", [1.0] * 256, {}, [Chunk([1.0] * 256, {"begin": 0}), Chunk([0.5] * 256, {"begin": 9})]
    )
    await operations.settle(store, run, Settled([], CHARGE, [vector]))
    await attempts.end(store, job, completed())
    newer = [(await accepted(store, media_item_id="a/b", user_id=USER)).id for _ in range(50)]
    shown = (await show(api, "a/b")).json()
    assert [vector["chunks"] for vector in shown["embeddings"]] == [2]
    assert [job["id"] for job in shown["jobs"]] == newer[::-1]
    assert (shown["status"], shown["jobs"][0]["status"]) == ("pending", "waiting")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_who_may_not_hears_why(api: Api, store: Store, method: str) -> None:
    await accepted(store, media_item_id="note", user_id=USER)
    answers = [
        await api.http.request(method, "/api/media/note", headers=api.as_user(OTHER)),
        await api.http.request(method, "/api/media/nowhere", headers=api.as_user(USER)),
        await api.http.request(method, "/api/media/note"),
        await api.http.request(method, "/api/media/note?more=1", headers=api.as_user(USER)),
    ]
    assert [answer.status_code for answer in answers] == [403, 404, 401, 422]
    assert [answer.json()["error"] for answer in answers[:2]] == [
        "media item note belongs to another user",
        "there is no media item nowhere",
    ]
    assert (await show(api, "note")).status_code == 200


async def test_admins_see_and_delete_everybodys(api: Api, store: Store) -> None:
    await accepted(store, media_item_id="note", user_id=USER)
    assert (await show(api, "note", "root", admin=True)).status_code == 200
    assert (await delete(api, "note", "root", admin=True)).status_code == 204


async def test_no_item_is_named_like_the_route_beside_it(api: Api) -> None:
    answer = await api.post(TEXT, {**NOTE, "mediaItemId": "note/similar"})
    assert (answer.status_code, answer.json()["field"]) == (422, "mediaItemId")
    assert "may not end in /similar" in answer.json()["error"]
    assert (await delete(api, "note/similar")).status_code == 404


# Deleted.


async def test_a_deleted_item_is_gone_with_all_but_its_costs(
    api: Api, store: Store, standin: StandIn
) -> None:
    job = await api.run(TEXT, NOTE)
    await api.run("embedding-generation", {"mediaItemId": "note", "contentType": "text", "content": "Paris"})
    assert keys_of(api, job["id"]) != []
    answer = await delete(api, "note")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [(await show(api, "note")).status_code, (await delete(api, "note")).status_code] == [404, 404]
    gone = ("media_items", "jobs", "operation_runs", "embeddings", "erasures")
    assert [await rows(store, table) for table in gone] == [0] * 5
    assert keys_of(api, job["id"]) == []
    costs = await store.pool.fetch("select media_item_id, job_id, certainty from cost_entries order by id")
    assert tuple(costs[0]) == ("note", job["id"], "billed")
    assert len(costs) == len(standin.billed()) == 3


async def test_a_later_job_makes_a_new_item_that_reuses_and_owes_nothing(
    api: Api, store: Store, standin: StandIn
) -> None:
    """Also another user's: the name is free again."""
    await api.run(TEXT, {**NOTE, "languageCode": "en"})
    await delete(api, "note")
    again = await api.run(TEXT, {**NOTE, "languageCode": "en"})
    assert [cost["certainty"] for cost in again["costs"]] == ["billed"]
    assert len(standin.billed()) == 2
    shown = (await show(api, "note")).json()
    assert (shown["cost"], shown["metadata"]["processingCost"]) == (again["cost"], again["cost"])
    await delete(api, "note")
    await api.accept(TEXT, NOTE, OTHER)
    assert (await show(api, "note", OTHER)).json()["cost"] == 0


async def test_an_idempotency_key_goes_with_its_job(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = (await api.post(TEXT, NOTE, **headers)).json()["id"]
    await delete(api, "note")
    again = (await api.post(TEXT, NOTE, **headers)).json()["id"]
    assert again != first
    assert (await show(api, "note")).json()["status"] == "pending"


async def test_other_items_keep_what_they_reused(api: Api, resources: Resources) -> None:
    await api.run(TEXT, NOTE)
    other = await api.run(TEXT, {**NOTE, "mediaItemId": "copy"})
    assert {cost["certainty"] for cost in other["costs"]} == {"reused"}
    await delete(api, "note")
    assert (await api.job(TEXT, other["id"]))["returnvalue"] == other["returnvalue"]


async def test_what_mediaq_put_into_s3_goes_and_the_upload_stays(api: Api, store: Store) -> None:
    await api.upload("uploads/clip.mp4", samples.film_clip())
    await api.upload("thumbnails/another/1.jpg", b"another's")
    job = await api.run(VIDEO, FILM)
    assert job["status"] == "completed", job["failedReason"]
    assert len(objects_in(api)) == 2 + 2 + 2
    assert (await delete(api, "film")).status_code == 204
    assert objects_in(api) == ["thumbnails/another/1.jpg", "uploads/clip.mp4"]
    assert await rows(store, "erasures") == 0


async def test_waiting_and_delayed_jobs_of_it_never_run(impatient: None, api: Api, standin: StandIn) -> None:
    standin.fault("DetectSentiment", "error", status=500, times=1)
    delayed = await api.run(TEXT, NOTE)
    assert delayed["status"] == "delayed"
    ids = [delayed["id"], await api.accept(TEXT, NOTE)]
    called = len(standin.calls())
    assert (await delete(api, "note")).status_code == 204
    assert [keys_of(api, job_id) for job_id in ids] == [[], []]
    await work(api.settings, TEXT)
    assert len(standin.calls()) == called


async def test_while_redis_is_away_a_deleted_job_that_runs_ends_without_a_word(
    api: Api, resources: Resources, store: Store, standin: StandIn
) -> None:
    """And is forgotten when Redis is back."""
    job_id = await api.accept(TEXT, NOTE)
    await store.pool.execute(
        "insert into erasures (job_id, type, due_at, ends_at) values ($1, $2, now() + interval '1 h', now())",
        job_id, TEXT,
    )  # fmt: skip
    await store.pool.execute("delete from media_items")
    await work(api.settings, TEXT)
    with Redis.from_url(api.settings.redis.url) as redis:
        assert rq.job.Job.fetch(job_id, connection=redis).get_status() == "finished"
    assert standin.calls() == []
    await make_due(store)
    await clear_due(resources)
    await until(lambda: _none(store, "erasures"))
    assert keys_of(api, job_id) == []


async def _none(store: Store, table: str) -> bool:
    return await rows(store, table) == 0


@pytest.fixture
def slow(standin: StandIn) -> None:
    """Has AWS take its time to tell a language."""
    standin.fault("DetectDominantLanguage", "latency", seconds=1.0)


async def test_a_call_under_way_is_billed_and_none_follows(
    api: Api, store: Store, standin: StandIn, slow: None
) -> None:
    """The job runs in an AsyncWorker, and would ask for the sentiment as soon as it knows the language."""
    job_id = await api.accept(TEXT, NOTE)
    with working(api.settings):
        await until(lambda: _begun(store))
        answer = await delete(api, "note")
        assert (answer.status_code, answer.json()) == (202, {"mediaItemId": "note", "jobsEnding": 1})
        assert (await show(api, "note")).status_code == 404
        await until(lambda: _all_billed(store))
    assert [call["operation"] for call in standin.billed()] == ["DetectDominantLanguage"]
    assert await rows(store, "cost_entries") == 1
    assert [await rows(store, table) for table in ("media_items", "jobs", "operation_runs")] == [0] * 3
    await make_due(store, ended=True)
    await until(lambda: _none(store, "erasures"))
    assert keys_of(api, job_id) == []


async def _begun(store: Store) -> bool:
    return await rows(store, "cost_entries") > 0


async def _all_billed(store: Store) -> bool:
    return bool(await store.pool.fetchval("select bool_and(certainty = 'billed') from cost_entries"))


async def test_a_late_answer_settles_its_cost_and_stores_no_result(store: Store, standin: StandIn) -> None:
    """Nor in a new item of the same name, whoever's it is; a call that was refused is not owed."""
    job = await started(store, await accepted(store, media_item_id="note"))
    runs = [await operations.begin(store, job, "bedrock", name, estimate=CHARGE) for name in ("a", "b", "c")]
    await store.pool.execute("delete from media_items")
    await accepted(store, media_item_id="note", user_id=OTHER)
    vector = Vector("m", [1.0] * 256, {})
    assert not await operations.settle(store, runs[0], Settled(["secret"], CHARGE, [vector], request_id="r"))
    await operations.fail(store, runs[1], Refused("a bad image", "Bad"))
    await operations.fail(store, runs[2], Unanswered("no answer", "Lost"))
    costs = await store.pool.fetch("select operation, certainty, request_id from cost_entries order by id")
    assert [tuple(cost) for cost in costs] == [("a", "billed", "r"), ("c", "possibly_billed", None)]
    assert [await rows(store, table) for table in ("operation_runs", "embeddings")] == [0, 0]
    for write in (attempts.renew(store, job, 60), attempts.end(store, job, completed(labels=[]))):
        with pytest.raises(FenceLost):
            await write
    with pytest.raises(FenceLost):
        await operations.begin(store, job, "bedrock", "d", estimate=CHARGE)


async def test_jobs_accepted_while_an_item_is_deleted_are_kept_or_gone(api: Api, store: Store) -> None:
    """Whichever comes first: no job is left without its item, and none is refused."""

    async def post() -> int:
        return (await api.post(TEXT, NOTE)).status_code

    for _ in range(5):
        posts = [asyncio.create_task(post()) for _ in range(8)]
        deletions = [asyncio.create_task(delete(api, "note")) for _ in range(3)]
        assert set(await asyncio.gather(*posts)) == {202}
        assert {answer.status_code for answer in await asyncio.gather(*deletions)} <= {204, 404}
        kept = await rows(store, "jobs")
        assert (await show(api, "note")).status_code == (200 if kept else 404)


@pytest.fixture
async def s3(overrides: dict[str, str], s3_url: str) -> AsyncIterator[Cuttable]:
    """The way to S3 of what uses the settings."""
    at = urlsplit(s3_url)
    async with Cuttable(at.hostname or "", at.port or 0) as relay:
        overrides["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{relay.port}"
        yield relay


async def test_while_s3_is_away_objects_are_remembered_until_it_is_back(
    s3: Cuttable, api: Api, resources: Resources, store: Store
) -> None:
    await api.upload("uploads/clip.mp4", samples.film_clip())
    job = await api.run(VIDEO, FILM)
    assert job["status"] == "completed", job["failedReason"]
    await s3.cut()
    answer = await delete(api, "film")
    assert (answer.status_code, answer.json()) == (202, {"mediaItemId": "film", "jobsEnding": 1})
    assert keys_of(api, job["id"]) == []
    await make_due(store)
    await clear_due(resources)
    assert len(objects_in(api)) == 5
    await s3.mend()
    await make_due(store)
    await until(lambda: _none(store, "erasures"))
    assert objects_in(api) == ["uploads/clip.mp4"]


async def test_what_comes_after_the_deletion_is_deleted_too(
    api: Api, resources: Resources, store: Store
) -> None:
    """As the transcript of a job that went on at AWS."""
    job = await started(store, await accepted(store, type=VIDEO, media_item_id="film", user_id=USER))
    await operations.begin(store, job, "transcribe", "transcribe", estimate=CHARGE, token="t")
    assert (await delete(api, "film")).status_code == 202
    await api.upload(f"transcripts/{job.id}-transcribe-0.json", b"{}")
    await make_due(store)
    await until(lambda: _no_objects(api))
    assert await rows(store, "erasures") == 1, "more may come for as long as an attempt may take"
    await make_due(store, ended=True)
    await until(lambda: _none(store, "erasures"))


async def _no_objects(api: Api) -> bool:
    return objects_in(api) == []


async def test_a_job_that_is_not_on_record_for_another_reason_fails(resources: Resources) -> None:
    async def announce(progress: Any) -> None:
        """Nobody listens."""

    with pytest.raises(Exception, match="job nothing is not on record"):
        await run_job(resources.tools, PIPELINES[TEXT], "nothing", announce)


async def waits_for_the_item(store: Store) -> bool:
    return bool(
        await store.pool.fetchval(
            "select exists (select from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock' and query like '%from media_items where id = $1 for update%')"
        )
    )


async def waits_for(store: Store, process: int) -> bool:
    blocked = "select exists (select from pg_stat_activity where $1 = any(pg_blocking_pids(pid)))"
    return bool(await store.pool.fetchval(blocked, process))


async def test_a_job_that_comes_while_its_item_is_deleted_can_be_cancelled_meanwhile(
    api: Api, store: Store
) -> None:
    """Who deletes has locked the jobs that there were; for one that came since it waits without the item."""
    first = await accepted(store)
    item = first.media_item_id
    async with store.pool.acquire() as holding, store.pool.acquire() as cancelling:
        hold, cancel = holding.transaction(), cancelling.transaction()
        await hold.start()
        # As whoever accepts a job for it does.
        await holding.execute("select from media_items where id = $1 for key share", item)
        deleting = asyncio.create_task(delete(api, item, first.user_id))
        await until(lambda: waits_for_the_item(store))
        second = await accepted(store)
        assert second.media_item_id == item
        await cancel.start()
        # Of those who wait in a circle it is the one that is told so.
        await cancelling.execute("set local deadlock_timeout = '1ms'")
        assert await store.queries.cancel_job(cancelling, id=second.id)
        await hold.rollback()

        await until(lambda: waits_for(store, cancelling.get_server_pid()))
        await derive_statuses(store, cancelling, [item])
        await cancel.commit()
    assert (await deleting).status_code == 204
    assert [await rows(store, table) for table in ("media_items", "jobs")] == [0, 0]


async def test_an_item_is_shown_and_deleted_by_whatever_name_a_job_gave_it(api: Api, store: Store) -> None:
    names = ("a", "a\n", "\na/b", "a\r\nb", "a/similar\n", "similar", "a/../b", "a%0A", "a?b#c", "\u2028ü/😀")
    for name in names:
        await api.accept(TEXT, NOTE | {"mediaItemId": name})
    for left, name in enumerate(reversed(names)):
        path = quote(name, safe="")
        assert (await show(api, path)).json()["mediaItemId"] == name
        assert (await delete(api, path)).status_code == 204, name
        assert await rows(store, "media_items") == len(names) - left - 1
