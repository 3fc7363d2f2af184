"""Accepted or refused, and the caller knows which: whatever breaks, at whatever moment of a request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import pytest
from crossing import Crossing
from house import USER, Api, serving, token_for, work

from mediaq.queue import keys
from mediaq.resources import Resources
from mediaq.settings import Settings, load_settings
from mediaq.store.borrowed import Connection

TEXT = {
    "mediaItemId": "m",
    "text": "A fine day by the sea.",
    "languageCode": "en",
    "operations": {"detectSentiment": True},
}
PATH = "/api/queues/text-analysis"
# Seconds that the service waits for each of its servers.
PATIENCE = 1.0
# Seconds in which it answers where one of them is away; and where it asks Postgres again, and then Redis.
SOON, LATER = PATIENCE + 0.8, 3 * PATIENCE + 0.8
KEY = {"Idempotency-Key": "key-1"}

T = TypeVar("T")


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[Crossing]:
    """The service's way to Postgres; the test has its own."""
    async with Crossing(settings.database.url) as crossing:
        yield crossing


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Crossing]:
    """The service's way to Redis; the test has its own."""
    async with Crossing(settings.redis.url) as crossing:
        yield crossing


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, postgres: Crossing, redis: Crossing) -> pytest.MonkeyPatch:
    """Leads the service's settings over the crossings."""
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    monkeypatch.setenv("REDIS_URL", redis.url)
    monkeypatch.setenv("MEDIAQ_DATABASE__TIMEOUT", str(PATIENCE))
    monkeypatch.setenv("MEDIAQ_REDIS__TIMEOUT", str(PATIENCE))
    # Only what a test asks for goes over the crossings, unless it says otherwise.
    monkeypatch.setenv("MEDIAQ_UPKEEP__INTERVAL", "1000")
    return monkeypatch


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A service of its own, with the settings of now."""
    headers = {"Authorization": f"Bearer {token_for(USER)}"}
    async with (
        serving(load_settings()) as url,
        httpx.AsyncClient(base_url=url, timeout=60, headers=headers, limits=httpx.Limits()) as http,
    ):
        yield http


@pytest.fixture
async def http(environment: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    async with client() as opened:
        yield opened


async def bounded(request: Awaitable[T], seconds: float = SOON) -> T:
    async with asyncio.timeout(seconds):
        return await request


async def recorded(resources: Resources) -> list[str]:
    return [row["id"] for row in await resources.store.pool.fetch("select id from jobs")]


async def pushed(resources: Resources) -> list[str]:
    found: list[bytes] = await resources.redis.lrange(keys.queue("text-analysis"), 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in found]


def assert_refused(answer: httpx.Response, what: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"] == f"{what} cannot be reached; nothing was done, try again later"
    assert int(answer.headers["retry-after"]) > 0


@asynccontextmanager
async def at_the_item(resources: Resources) -> AsyncIterator[Connection]:
    """Lets requests come no further than to the media item `m` while the block runs."""
    async with resources.store.pool.acquire() as connection, connection.transaction():
        await connection.execute("insert into media_items (id, user_id) values ('m', $1)", USER)
        yield connection


async def until_waiting(connection: Connection) -> None:
    """Waits until a request waits for what the connection holds."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(  # noqa: ASYNC110 - Postgres has no event
            "select count(*) from pg_locks where not granted"
        ):
            await asyncio.sleep(0.01)


# The commit


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before it arrives", "after it is done"])
async def test_a_connection_that_breaks_at_the_commit_is_no_matter(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources, side: str
) -> None:
    """The job is asked for again under its id: it is accepted once, and answered so."""
    trap = postgres.set_trap(side, b"COMMIT")
    answer = await bounded(http.post(PATH, json=TEXT), LATER)
    assert trap.sprung.is_set()
    assert answer.status_code == 202, answer.text
    assert await recorded(resources) == await pushed(resources) == [answer.json()["id"]]


async def test_an_answer_that_breaks_off_after_the_commit_changes_nothing(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources
) -> None:
    """What a pool asks of a connection that it takes back comes after the commit, and after what was read."""
    trap = postgres.set_trap("command", b"RESET ALL")
    answer = await bounded(http.post(PATH, json=TEXT))
    assert trap.sprung.is_set()
    assert answer.status_code == 202, answer.text
    assert await recorded(resources) == await pushed(resources) == [answer.json()["id"]]
    trap = postgres.set_trap("command", b"RESET ALL")
    shown = await bounded(http.get(answer.json()["links"]["self"]))
    assert trap.sprung.is_set()
    assert shown.json()["status"] == "waiting"


async def test_a_connection_that_breaks_before_the_commit_refuses_the_job(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources
) -> None:
    trap = postgres.set_trap("command", b"accept_jobs", for_good=True)
    assert_refused(await bounded(http.post(PATH, json=TEXT)), "Postgres")
    assert trap.sprung.is_set()
    assert await recorded(resources) == []


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before it arrives", "after it is done"])
@pytest.mark.parametrize("key", [KEY, {}], ids=["with a key", "without"])
async def test_where_postgres_stays_away_at_the_commit_the_answer_says_that_nobody_knows(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources, side: str, key: dict[str, str]
) -> None:
    postgres.set_trap(side, b"COMMIT", for_good=True)
    answer = await bounded(http.post(PATH, json=TEXT, headers=key), LATER)
    assert answer.status_code == 504, answer.text
    assert int(answer.headers["retry-after"]) > 0
    said = answer.json()
    assert said["error"].startswith(
        f"Postgres went away while job {said['id']} was accepted, and it is unknown whether it was: "
    )
    assert ("repeat the request with the same Idempotency-Key" in said["error"]) == bool(key)
    assert (f"look at {said['links']['self']} in a minute" in said["error"]) != bool(key)
    assert await recorded(resources) == ([said["id"]] if side == "answer" else [])
    assert await pushed(resources) == []

    await postgres.open()
    shown = await http.get(said["links"]["self"])
    assert shown.status_code == (200 if side == "answer" else 404)
    if key:
        again = await http.post(PATH, json=TEXT, headers=key)
        assert again.status_code == 202, again.text
        assert await recorded(resources) == [again.json()["id"]]


async def test_a_transaction_that_nobody_ends_leaves_the_answer_unknown_and_the_key_usable(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources
) -> None:
    """Postgres did not learn that the connection broke before the commit: the same id has to wait for it."""
    postgres.set_trap("command", b"COMMIT", one_sided=True)
    answer = await bounded(http.post(PATH, json=TEXT, headers=KEY), LATER)
    assert answer.status_code == 504, answer.text
    assert_refused(await bounded(http.post(PATH, json=TEXT, headers=KEY)), "Postgres")
    postgres.close()
    await postgres.open()
    again = await bounded(http.post(PATH, json=TEXT, headers=KEY))
    assert again.status_code == 202, again.text
    assert await recorded(resources) == await pushed(resources) == [again.json()["id"]]


async def test_a_commit_that_goes_on_after_its_connection_is_waited_for(
    http: httpx.AsyncClient, resources: Resources
) -> None:
    """It takes longer than the service waits for a statement."""
    await resources.store.pool.execute(
        f"""
        create function dawdle() returns trigger language plpgsql
            as $$ begin perform pg_sleep({PATIENCE * 1.5}); return null; end $$;
        create constraint trigger dawdle after insert on jobs deferrable initially deferred
            for each row execute function dawdle();
        """
    )
    answer = await bounded(http.post(PATH, json=TEXT), LATER)
    assert answer.status_code == 202, answer.text
    assert await recorded(resources) == await pushed(resources) == [answer.json()["id"]]


# Postgres


async def assert_all_refused(http: httpx.AsyncClient, resources: Resources) -> None:
    """What needs Postgres is refused in bounded time, one after the other and at once."""
    answers = [await bounded(http.post(PATH, json=TEXT)), await bounded(http.get(f"{PATH}/0123"))]
    answers += await asyncio.gather(*(bounded(http.get(f"{PATH}/0123")) for _ in range(20)))
    for answer in answers:
        assert_refused(answer, "Postgres")
    ready = await bounded(http.get("/readyz"))
    assert (ready.status_code, ready.json()["away"]) == (503, ["postgres"])
    assert await recorded(resources) == []


async def test_a_postgres_that_hangs_is_not_waited_for(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources
) -> None:
    assert (await http.get(f"{PATH}/0123")).status_code == 404
    postgres.silence()
    await assert_all_refused(http, resources)
    postgres.speak()
    assert (await http.get(f"{PATH}/0123")).status_code == 404
    assert (await http.post(PATH, json=TEXT)).status_code == 202


async def test_a_postgres_that_refuses_is_not_waited_for(
    http: httpx.AsyncClient, postgres: Crossing, resources: Resources
) -> None:
    assert (await http.get(f"{PATH}/0123")).status_code == 404
    postgres.close()
    await assert_all_refused(http, resources)
    await postgres.open()
    assert (await http.get(f"{PATH}/0123")).status_code == 404
    assert (await http.post(PATH, json=TEXT)).status_code == 202


async def test_requests_that_find_all_connections_busy_are_refused_in_time(
    environment: pytest.MonkeyPatch, resources: Resources
) -> None:
    environment.setenv("MEDIAQ_DATABASE__POOL_SIZE", "1")
    async with client() as http:
        async with resources.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table jobs in access exclusive mode")
            requests = [bounded(http.get(f"{PATH}/0123")) for _ in range(3)]
            requests += [bounded(http.post(PATH, json=TEXT)) for _ in range(3)]
            for answer in await asyncio.gather(*requests):
                assert_refused(answer, "Postgres")
        assert await recorded(resources) == []
        assert (await http.post(PATH, json=TEXT)).status_code == 202


# Redis


async def test_a_redis_that_hangs_refuses_the_job(
    http: httpx.AsyncClient, redis: Crossing, resources: Resources
) -> None:
    assert (await http.get("/api/queues")).status_code == 200
    redis.silence()
    assert_refused(await bounded(http.post(PATH, json=TEXT)), "Redis")
    assert_refused(await bounded(http.get("/api/queues")), "Redis")
    redis.speak()
    assert await recorded(resources) == []
    assert (await http.get("/api/queues")).status_code == 200
    assert (await http.post(PATH, json=TEXT)).status_code == 202


async def test_a_redis_that_refuses_refuses_the_job(
    http: httpx.AsyncClient, redis: Crossing, resources: Resources
) -> None:
    redis.close()
    assert_refused(await bounded(http.post(PATH, json=TEXT)), "Redis")
    assert_refused(await bounded(http.get("/api/queues")), "Redis")
    assert await recorded(resources) == []


async def test_many_requests_at_once_share_the_way_to_redis(
    environment: pytest.MonkeyPatch, redis: Crossing, resources: Resources
) -> None:
    """More than a client of redis-py has connections, all of which Redis keeps waiting for a moment."""
    environment.setenv("MEDIAQ_DATABASE__TIMEOUT", "20")
    environment.setenv("MEDIAQ_REDIS__TIMEOUT", "20")
    async with client() as http:
        redis.silence()
        posted = asyncio.gather(*(http.post(PATH, json=TEXT) for _ in range(150)))
        await asyncio.wait({posted}, timeout=1)
        redis.speak()
        assert [answer.status_code for answer in await posted] == [202] * 150
    assert sorted(await pushed(resources)) == sorted(await recorded(resources))


@pytest.mark.parametrize("go_away", [Crossing.close, Crossing.silence], ids=["dies", "hangs"])
async def test_a_redis_that_goes_away_after_its_last_word_has_the_job_pushed_later(
    environment: pytest.MonkeyPatch,
    redis: Crossing,
    resources: Resources,
    api: Api,
    go_away: Callable[[Crossing], None],
) -> None:
    """It is on record: that is the answer. The other service, which finds Redis where it is, pushes it."""
    async with client() as http:
        async with at_the_item(resources) as item:
            posted = asyncio.create_task(http.post(PATH, json=TEXT))
            await until_waiting(item)
            go_away(redis)
        answer = await bounded(posted)
        assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    queue = keys.queue("text-analysis")
    assert await resources.redis.brpoplpush(queue, queue, timeout=20) == job_id.encode()
    environment.setenv("REDIS_URL", api.settings.redis.url)
    await work(api.settings, "text-analysis")
    assert (await api.job("text-analysis", job_id))["status"] == "completed"


async def test_a_push_that_is_lost_on_the_way_back_is_made_once(
    http: httpx.AsyncClient, redis: Crossing, resources: Resources
) -> None:
    assert (await http.get("/api/queues")).status_code == 200
    trap = redis.set_trap("answer", b":1\r\n")
    answer = await bounded(http.post(PATH, json=TEXT))
    assert trap.sprung.is_set()
    assert answer.status_code == 202, answer.text
    assert await pushed(resources) == [answer.json()["id"]]


# Idempotency keys


async def test_requests_with_one_key_at_two_services_at_once_make_one_job(
    http: httpx.AsyncClient, environment: pytest.MonkeyPatch, resources: Resources
) -> None:
    async with client() as other:
        async with at_the_item(resources):
            posts = [one.post(PATH, json=TEXT, headers=KEY) for one in (http, other) for _ in range(4)]
            posted = asyncio.gather(*posts)
            await asyncio.wait({posted}, timeout=PATIENCE / 4)
        answers = await bounded(posted)
    assert [answer.status_code for answer in answers] == [202] * 8
    assert {answer.json()["id"] for answer in answers} == set(await recorded(resources))
    assert len(await recorded(resources)) == 1
    assert await pushed(resources) == await recorded(resources)


async def test_of_two_requests_with_one_key_and_other_bodies_at_once_one_is_a_conflict(
    http: httpx.AsyncClient, environment: pytest.MonkeyPatch, resources: Resources
) -> None:
    bodies = [TEXT, {**TEXT, "mediaItemId": "another"}]
    async with client() as other:
        posts = [one.post(PATH, json=body, headers=KEY) for one in (http, other) for body in bodies]
        answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == [202, 202, 409, 409]
    assert len(await recorded(resources)) == 1


async def test_the_key_of_a_job_that_is_done_gives_that_job_as_it_is(api: Api) -> None:
    first = await api.post("text-analysis", TEXT, **KEY)
    await work(api.settings, "text-analysis")
    again = await api.post("text-analysis", TEXT, **KEY)
    assert (again.status_code, again.json()) == (202, {**first.json(), "status": "completed"})
    await work(api.settings, "text-analysis")
    assert (await api.job("text-analysis", first.json()["id"]))["attemptsMade"] == 1
