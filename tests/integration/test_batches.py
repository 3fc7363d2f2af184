"""Many jobs in one request: each accepted or refused by itself, all on record at once, and never twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from crossing import Crossing
from house import OTHER, USER, Api, serving, token_for, work
from route_kit import PATH, QUEUE, item_status, send, text, waiting

from mediaq.resources import Resources
from mediaq.service import shapes
from mediaq.settings import load_settings

KEY = {"Idempotency-Key": "key-1"}
BATCH = f"{PATH}/batch"


async def post(api: Api, jobs: Any, user: str = USER, **headers: str) -> httpx.Response:
    return await send(api, "POST", BATCH, user, json={"jobs": jobs}, headers=headers)


def outcomes(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=shapes.Outcomes)
    found: list[dict[str, Any]] = answer.json()["outcomes"]
    return found


def ids(answer: httpx.Response) -> list[str]:
    return [outcome["id"] for outcome in outcomes(answer)]


def texts(number: int) -> list[dict[str, Any]]:
    return [text(f"item-{n}", f"Day {n} by the sea.") for n in range(number)]


async def recorded(resources: Resources) -> list[str]:
    return [row["id"] for row in await resources.store.pool.fetch("select id from jobs")]


async def test_a_batch_is_accepted_in_order_and_run(api: Api, resources: Resources) -> None:
    answer = await post(api, texts(3))
    for n, outcome in enumerate(outcomes(answer)):
        assert (outcome["status"], outcome["jobType"], outcome["jobStatus"]) == (202, QUEUE, "waiting")
        shown = (await send(api, "GET", outcome["links"]["self"])).json()
        assert shown["data"]["mediaItemId"] == f"item-{n}"
    assert await waiting(resources) == ids(answer)
    assert await item_status(resources, "item-2") == "pending"
    await work(api.settings, QUEUE)
    assert [(await api.job(QUEUE, job_id))["status"] for job_id in ids(answer)] == ["completed"] * 3


async def test_a_bad_job_does_not_spoil_the_others(api: Api, resources: Resources) -> None:
    await api.accept(QUEUE, text("theirs"), OTHER)
    batch = [
        text("a"),
        {**text("b"), "operations": {}},
        {**text("c"), "text": 7},
        "no object",
        text("theirs"),
        {**text("d"), "userId": OTHER},
        text("e"),
    ]
    found = outcomes(await post(api, batch))
    assert [outcome["status"] for outcome in found] == [202, 422, 422, 422, 403, 403, 202]
    assert [outcome.get("field") for outcome in found[1:6]] == [
        "operations",
        "text",
        None,
        "mediaItemId",
        "userId",
    ]
    assert all(outcome["error"] for outcome in found[1:6])
    mine = await resources.store.pool.fetch("select id from jobs where user_id = $1 order by id", USER)
    assert [row["id"] for row in mine] == sorted([found[0]["id"], found[6]["id"]])


async def test_jobs_of_one_batch_may_share_an_item_and_be_the_same(api: Api, resources: Resources) -> None:
    assert len(set(ids(await post(api, [text(), text()], **KEY)))) == 2
    assert len(await recorded(resources)) == 2


async def test_a_batch_of_bad_jobs_alone_accepts_nothing(api: Api, resources: Resources) -> None:
    assert [outcome["status"] for outcome in outcomes(await post(api, [{}, 1]))] == [422, 422]
    assert await recorded(resources) == []


async def test_1000_jobs_fit_and_one_more_does_not(api: Api, resources: Resources) -> None:
    answer = await post(api, texts(1000))
    assert len(set(ids(answer))) == 1000
    assert await waiting(resources) == ids(answer)
    answer = await post(api, texts(1001))
    assert (answer.status_code, answer.json()["field"]) == (422, "jobs")
    assert len(await recorded(resources)) == 1000


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"jobs": []}', 422), (b"[]", 422), (b'{"jobs": [{]}', 422), (b'{"jobs": [1], "more": 1}', 422),
     (b" " * (1024 * 1024 + 1), 413)],
    ids=["empty", "no object", "no JSON", "unknown field", "too long"],
)  # fmt: skip
async def test_a_batch_that_is_none_is_refused_as_a_whole(api: Api, body: bytes, status: int) -> None:
    answer = await send(api, "POST", BATCH, content=body)
    assert answer.status_code == status, answer.text


async def test_a_batch_is_of_a_known_type_and_a_known_caller(api: Api) -> None:
    body = {"jobs": texts(1)}
    assert (await send(api, "POST", "/api/queues/audio/batch", json=body)).status_code == 404
    assert (await api.http.post(BATCH, json=body)).status_code == 401


# Idempotency keys


async def test_a_batch_that_is_repeated_with_its_key_gives_the_same_jobs_as_they_are(
    api: Api, resources: Resources
) -> None:
    batch = [*texts(3), {}]
    first = await post(api, batch, **KEY)
    await work(api.settings, QUEUE)
    again = await post(api, batch, **KEY)
    shown = outcomes(again)
    assert [one.get("id") for one in shown] == [one.get("id") for one in outcomes(first)]
    assert [one.get("jobStatus") for one in shown] == ["completed"] * 3 + [None]
    assert (len(await recorded(resources)), await waiting(resources)) == (3, [])


@pytest.mark.parametrize("other", [texts(2), texts(4), texts(3)[::-1]], ids=["shorter", "longer", "turned"])
async def test_the_key_of_another_batch_is_a_conflict(
    api: Api, resources: Resources, other: list[dict[str, Any]]
) -> None:
    await post(api, texts(3), **KEY)
    answer = await post(api, other, **KEY)
    assert answer.status_code == 409
    assert len(await recorded(resources)) == 3


UNREADABLE = {
    "a number beyond all floats": b'{"mediaItemId": "b", "text": 1e400}',
    "invalid UTF-8": b'{"mediaItemId": "b", "text": "\xff"}',
}


@pytest.mark.parametrize("bad", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_job_that_cannot_be_read_does_not_spoil_the_others_of_a_batch_with_a_key(
    api: Api, resources: Resources, bad: bytes
) -> None:
    body = b'{"jobs": [%b, %b]}' % (bad, msgspec.json.encode(text("a")))
    first, again = [await send(api, "POST", BATCH, content=body, headers=KEY) for _ in range(2)]
    assert [outcome["status"] for outcome in outcomes(first)] == [422, 202]
    assert outcomes(again) == outcomes(first)
    other = await send(api, "POST", BATCH, content=body.replace(b'"b"', b'"c"'), headers=KEY)
    assert other.status_code == 409
    assert len(await recorded(resources)) == 1


async def test_a_batchs_key_and_a_jobs_own_are_apart(api: Api, resources: Resources) -> None:
    await post(api, texts(2), **KEY)
    for key in ("key-1", "0 key-1"):
        answer = await send(api, "POST", PATH, json=texts(1)[0], headers={"Idempotency-Key": key})
        assert answer.status_code == 202
    assert len(await recorded(resources)) == 4


async def test_a_batch_sent_at_once_several_times_is_accepted_once(api: Api, resources: Resources) -> None:
    async with serving(load_settings()) as other:
        headers = {**api.as_user(USER), **KEY}
        posts = [
            api.http.post(f"{base}{BATCH}", json={"jobs": texts(20)}, headers=headers)
            for base in ("", other)
            for _ in range(3)
        ]
        answers = await asyncio.gather(*posts)
    assert {tuple(ids(answer)) for answer in answers} == {tuple(ids(answers[0]))}
    assert sorted(await recorded(resources)) == sorted(await waiting(resources)) == sorted(ids(answers[0]))


async def test_batches_about_the_same_items_in_other_orders_do_not_get_in_each_others_way(
    api: Api, resources: Resources
) -> None:
    batch = texts(30)
    answers = await asyncio.gather(*(post(api, batch[:: (-1) ** n]) for n in range(6)))
    assert [len(ids(answer)) for answer in answers] == [30] * 6
    assert len(await recorded(resources)) == 180


# Servers that go away


@pytest.fixture
async def postgres(
    settings: Any, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Crossing]:
    async with Crossing(settings.database.url) as crossing:
        monkeypatch.setenv("DATABASE_URL", crossing.url)
        monkeypatch.setenv("MEDIAQ_DATABASE__TIMEOUT", "1")
        monkeypatch.setenv("MEDIAQ_UPKEEP__INTERVAL", "1000")
        yield crossing


@pytest.fixture
async def http(postgres: Crossing) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token_for(USER)}"}
    async with (
        serving(load_settings()) as url,
        httpx.AsyncClient(base_url=url, timeout=60, headers=headers) as client,
    ):
        yield client


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before it arrives", "after it is done"])
@pytest.mark.parametrize("key", [KEY, {}], ids=["with a key", "without"])
async def test_a_connection_that_breaks_at_the_commit_makes_no_second_batch(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources, side: str, key: dict[str, str]
) -> None:
    trap = postgres.set_trap(side, b"COMMIT")
    answer = await http.post(BATCH, json={"jobs": texts(5)}, headers=key)
    assert trap.sprung.is_set()
    assert sorted(ids(answer)) == sorted(await recorded(resources))
    assert await waiting(resources) == ids(answer)


@pytest.mark.parametrize("key", [KEY, {}], ids=["with a key", "without"])
async def test_where_postgres_stays_away_at_the_commit_the_answer_says_that_nobody_knows(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources, key: dict[str, str]
) -> None:
    postgres.set_trap("answer", b"COMMIT", for_good=True)
    answer = await http.post(BATCH, json={"jobs": texts(5)}, headers=key)
    assert answer.status_code == 504, answer.text
    assert ("same Idempotency-Key" in answer.json()["error"]) == bool(key)
    assert len(await recorded(resources)) == 5
    await postgres.open()
    if key:
        again = await http.post(BATCH, json={"jobs": texts(5)}, headers=key)
        assert sorted(ids(again)) == sorted(await recorded(resources))


async def test_a_redis_that_is_away_refuses_the_batch(
    api: Api, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Crossing(api.settings.redis.url) as redis:
        monkeypatch.setenv("REDIS_URL", redis.url)
        async with serving(load_settings()) as service:
            redis.close()
            answer = await api.http.post(
                f"{service}{BATCH}", json={"jobs": texts(2)}, headers=api.as_user(USER)
            )
    assert answer.status_code == 503
    assert await recorded(resources) == []
