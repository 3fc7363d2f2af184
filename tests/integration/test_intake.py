"""Jobs that are asked for at once: how often servers are asked for them; and none suffers for another."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from crossing import Crossing
from house import OTHER, USER, serving, token_for
from redis.exceptions import RedisError

from mediaq.dispatch import push_all
from mediaq.errors import KeyTaken, NotYours, OverBudget
from mediaq.model import NewJob, Terms
from mediaq.resources import Resources, open_resources
from mediaq.service import intake
from mediaq.service.intake import Intake, open_intake
from mediaq.settings import Settings, load_settings
from mediaq.store.acceptance import Accepted

PATH = "/api/queues/image-processing"
# The transaction's beginning, all of its work, its commit; and what the pool asks of a connection that it
# takes back.
TO_POSTGRES = 4


@pytest.fixture
async def postgres(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crossing]:
    async with Crossing(settings.database.url) as crossing:
        monkeypatch.setenv("DATABASE_URL", crossing.url)
        yield crossing


@pytest.fixture
async def redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crossing]:
    async with Crossing(settings.redis.url) as crossing:
        monkeypatch.setenv("REDIS_URL", crossing.url)
        yield crossing


@pytest.fixture
async def opened(postgres: Crossing, redis: Crossing) -> AsyncIterator[Resources]:
    """What an intake works with, over the crossings."""
    async with open_resources(load_settings()) as resources:
        yield resources


@pytest.fixture
async def taking(opened: Resources) -> AsyncIterator[Intake]:
    async with open_intake(opened) as opened_intake:
        yield opened_intake


def new(item: str, user: str = USER, **further: Any) -> NewJob:
    given: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "type": "image-processing",
        "user_id": user,
        "media_item_id": item,
        "cost_center": None,
        "request": {"mediaItemId": item},
        "operations": ("detectLabels",),
        "max_attempts": 3,
        "digest": item,
    }
    return NewJob(**given | further)


async def ask(taking: Intake, *news: NewJob) -> list[Accepted | BaseException]:
    """Asks for jobs at once; returns what each came to."""
    return await asyncio.gather(*map(taking.accept, news), return_exceptions=True)


async def recorded(resources: Resources) -> set[str]:
    return {row["id"] for row in await resources.store.pool.fetch("select id from jobs")}


# How often servers are asked


async def test_a_post_asks_postgres_four_times_and_redis_twice(postgres: Crossing, redis: Crossing) -> None:
    """The fewest of some requests count: the service asks for itself as well, now and then."""
    asked = []
    async with serving(load_settings()) as url, httpx.AsyncClient(base_url=url) as http:
        for number in range(8):
            before = postgres.trips, redis.trips
            body = {
                "mediaItemId": str(number),
                "s3Key": f"{number}.jpg",
                "operations": {"detectLabels": True},
            }
            answer = await http.post(PATH, json=body, headers={"Authorization": f"Bearer {token_for(USER)}"})
            assert answer.status_code == 202, answer.text
            asked.append((postgres.trips - before[0], redis.trips - before[1]))
    assert (min(to_postgres for to_postgres, _ in asked), min(to_redis for _, to_redis in asked)) == (
        TO_POSTGRES,
        2,
    )


async def test_those_who_come_at_once_ask_no_more_often_than_one(
    taking: Intake, opened: Resources, postgres: Crossing, redis: Crossing
) -> None:
    await ask(taking, new("connections are made and statements known"))
    before = postgres.trips, redis.trips
    news = [new(f"item-{number}", (USER, OTHER)[number % 2]) for number in range(intake.MOST)]
    outcomes = await ask(taking, *news)
    assert (postgres.trips - before[0], redis.trips - before[1]) == (TO_POSTGRES, 1)
    jobs = [outcome.job for outcome in outcomes if isinstance(outcome, Accepted)]
    assert [(job.id, job.user_id, job.media_item_id) for job in jobs] == [
        (one.id, one.user_id, one.media_item_id) for one in news
    ]


# None suffers for another


async def test_each_hears_what_became_of_its_own_job(taking: Intake, opened: Resources) -> None:
    await ask(taking, new("theirs", OTHER), new("mine", idempotency_key="used", digest="earlier"))
    poor = Terms(Decimal(2), user_cap=Decimal(1))
    refused = {
        NotYours: new("theirs"),
        KeyTaken: new("mine", idempotency_key="used", digest="later"),
        OverBudget: new("dear", terms=poor),
    }
    for kinds in ([NotYours, OverBudget], list(refused)):
        good = [new("theirs", OTHER), new("good")]
        outcomes = await ask(taking, good[0], *(refused[kind] for kind in kinds), good[1])
        assert [type(outcome) for outcome in outcomes] == [Accepted, *kinds, Accepted]
        on_record = await recorded(opened)
        assert {one.id for one in good} <= on_record
        assert not {one.id for one in refused.values()} & on_record


async def test_those_who_bring_one_new_item_at_once_are_told_whose_it_is(taking: Intake) -> None:
    mine, theirs, again = await ask(taking, new("new"), new("new", OTHER), new("new"))
    assert isinstance(mine, Accepted)
    assert isinstance(theirs, NotYours)
    assert isinstance(again, Accepted)


async def test_those_who_bring_one_key_at_once_get_one_job(taking: Intake, opened: Resources) -> None:
    first, second = await ask(taking, *(new("item", idempotency_key="key") for _ in range(2)))
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (first.job, {first.is_new, second.is_new}) == (second.job, {True, False})
    assert await recorded(opened) == {first.job.id}


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in the next"])
async def test_nobody_waits_long_for_what_another_waits_for(
    taking: Intake, resources: Resources, together: bool
) -> None:
    """The item of one is held; the others are accepted meanwhile."""
    async with resources.store.transaction() as connection:
        await connection.execute("insert into media_items (id, user_id) values ('held', $1)", USER)
        waiting = asyncio.create_task(taking.accept(new("held")))
        if not together:
            await asyncio.wait({waiting}, timeout=intake.HEADWAY / 2)
        async with asyncio.timeout(10):
            await asyncio.gather(*(taking.accept(new(f"free-{number}")) for number in range(3)))
        assert not waiting.done()
    assert (await waiting).is_new


async def test_who_has_gone_takes_nobody_along(taking: Intake, opened: Resources) -> None:
    gone, stays = new("gone"), new("stays")
    leaving = asyncio.create_task(taking.accept(gone))
    staying = asyncio.create_task(taking.accept(stays))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).is_new
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    assert stays.id in await recorded(opened)


@pytest.mark.parametrize("away", ["postgres", "redis"])
async def test_a_server_that_is_away_refuses_all(
    taking: Intake, opened: Resources, resources: Resources, request: pytest.FixtureRequest, away: str
) -> None:
    request.getfixturevalue(away).close()
    outcomes = await ask(taking, new("a"), new("b"))
    assert all(isinstance(outcome, OSError | RedisError) for outcome in outcomes), outcomes
    assert await recorded(resources) == set()


async def test_a_commit_that_breaks_is_no_matter_for_any(
    taking: Intake, opened: Resources, postgres: Crossing
) -> None:
    """All are asked for again under their ids: once accepted, they are found."""
    trap = postgres.set_trap("answer", b"COMMIT")
    news = [new("a"), new("b", OTHER)]
    outcomes = await ask(taking, *news)
    assert trap.sprung.is_set()
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert [(one.job.id, one.is_new) for one in accepted] == [(one.id, True) for one in news]
    assert await recorded(opened) == {one.id for one in news}
    await push_all(opened, [one.job for one in accepted])


async def test_an_intake_that_closes_answers_those_who_have_asked(opened: Resources) -> None:
    async with open_intake(opened) as closing:
        asked = [asyncio.create_task(closing.accept(new(f"item-{number}"))) for number in range(3)]
        await asyncio.sleep(0)
    assert all(task.done() and task.result().is_new for task in asked)
