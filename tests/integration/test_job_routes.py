"""GET /api/jobs: the caller's jobs, the newest first, by filters and in pages that stay what they were."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import httpx
import msgspec
import pytest
from house import OTHER, USER, Api
from store_kit import accepted, failed, started

from mediaq.model import Job, JobStatus, Place
from mediaq.resources import Resources
from mediaq.service import shapes
from mediaq.service.cursor import read_cursor, write_cursor
from mediaq.service.jobs import JOB_ID
from mediaq.service.problems import Problem
from mediaq.store import attempts
from mediaq.store.jobs import Wanted
from mediaq.store.pool import Store

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


async def listed(api: Api, user: str = USER, *, admin: bool = False, **query: Any) -> httpx.Response:
    claims = {"admin": True} if admin else {}
    return await api.http.get("/api/jobs", params=query, headers=api.as_user(user, **claims))


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


async def accept(store: Store, number: int, **changes: Any) -> list[Job]:
    """Puts jobs of the user on record."""
    own = {"user_id": USER, "media_item_id": f"item of {changes.get('user_id', USER)}"}
    return [await accepted(store, **{**own, **changes}) for _ in range(number)]


async def date(store: Store, job: Job, when: datetime) -> None:
    await store.pool.execute("update jobs set accepted_at = $2 where id = $1", job.id, when)


def newest(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in reversed(jobs)]


async def test_a_caller_sees_their_own_jobs_and_an_admin_everybodys(api: Api, store: Store) -> None:
    mine, theirs = await accept(store, 3), await accept(store, 2, user_id=OTHER)
    assert ids(await listed(api)) == newest(mine)
    assert ids(await listed(api, userId=USER)) == newest(mine)
    assert ids(await listed(api, OTHER)) == newest(theirs)
    assert ids(await listed(api, "root", admin=True)) == newest([*mine, *theirs])
    assert ids(await listed(api, "root", admin=True, userId=USER)) == newest(mine)


async def test_another_users_jobs_are_refused(api: Api) -> None:
    answer = await listed(api, userId=OTHER)
    assert (answer.status_code, answer.json()["field"]) == (403, "userId")
    assert (await api.http.get("/api/jobs")).status_code == 401


async def test_a_job_is_listed_by_what_is_small_of_it(api: Api, store: Store) -> None:
    [job] = await accept(store, 1, cost_center="team-a")
    running = await started(store, job)
    await attempts.end(store, running, failed("no such object"))
    answer = await listed(api)
    found = msgspec.json.decode(answer.content, type=shapes.JobsListed)
    [shown] = answer.json()["jobs"]
    assert found.next_cursor is None
    assert (shown["id"], shown["status"], shown["failedReason"]) == (job.id, "failed", "no such object")
    assert (shown["attemptsMade"], shown["costCenter"], shown["userId"]) == (1, "team-a", USER)
    assert shown["timestamp"] <= shown["processedOn"] <= shown["finishedOn"]
    assert shown["links"]["self"] == f"/api/queues/image-processing/{job.id}"
    assert not {"stacktrace", "costs", "data", "returnvalue"} & set(shown)


async def test_filters_narrow_the_list(api: Api, store: Store) -> None:
    a, b, c = await accept(store, 3)
    [text] = await accept(store, 1, type="text-analysis", cost_center="team-b")
    [film] = await accept(store, 1, media_item_id="film")
    await started(store, a)
    assert ids(await listed(api, jobType="text-analysis")) == [text.id]
    assert ids(await listed(api, status="active")) == [a.id]
    assert ids(await listed(api, status="waiting", costCenter="team-a")) == newest([b, c, film])
    assert ids(await listed(api, mediaItemId="film")) == [film.id]
    assert ids(await listed(api, costCenter="team-b")) == [text.id]
    assert ids(await listed(api, mediaItemId="film", costCenter="team-b")) == []


async def test_a_time_that_an_answer_shows_finds_its_job(api: Api, store: Store) -> None:
    """`from` counts, `to` does not; microseconds are rounded in answers, and so they are here."""
    early, job, late = await accept(store, 3)
    for each, micros in ((early, -600), (job, 999_600), (late, 1_000_600)):
        await date(store, each, NOON + timedelta(microseconds=micros))
    shown = {each["id"]: each["timestamp"] for each in (await listed(api)).json()["jobs"]}
    at: dict[str, Any] = {"from": shown[job.id], "to": shown[job.id] + 1}
    assert ids(await listed(api, **at)) == [job.id]
    assert ids(await listed(api, to=shown[job.id])) == [early.id]
    after: dict[str, Any] = {"from": shown[late.id]}
    assert ids(await listed(api, **after)) == [late.id]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"jobType": "audio"}, "jobType"),
        ({"status": "paused"}, "status"),
        ({"from": "2026-11-01"}, "from"),
        ({"to": -1}, "to"),
        ({"to": 10**18}, "to"),
        ({"mediaItemId": ""}, "mediaItemId"),
        ({"mediaItem": "m"}, "mediaItem"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
    ],
    ids=str,
)
async def test_a_bad_query_is_refused_by_the_name_of_its_parameter(
    api: Api, query: dict[str, Any], field: str
) -> None:
    answer = await listed(api, **query)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


# Pages


async def walk(api: Api, cursor: str | None = None, **query: Any) -> list[str]:
    """Follows the cursors to the end."""
    found: list[str] = []
    while True:
        answer = await listed(api, **(query | {"cursor": cursor} if cursor else query))
        found += ids(answer)
        cursor = answer.json()["nextCursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_have_each_job_once_also_where_times_are_equal(
    api: Api, store: Store, limit: int
) -> None:
    jobs = await accept(store, 7)
    for job in jobs[1:6]:
        await date(store, job, NOON)
    whole = ids(await listed(api))
    assert sorted(whole) == sorted(job.id for job in jobs)
    assert await walk(api, limit=limit) == whole


async def test_pages_stay_what_they_were_while_jobs_are_added_and_change(api: Api, store: Store) -> None:
    jobs = await accept(store, 5)
    first = await listed(api, limit=2)
    await accept(store, 2)
    await started(store, jobs[2])
    rest = await walk(api, first.json()["nextCursor"], limit=2)
    assert [*ids(first), *rest] == newest(jobs)


async def test_a_cursor_shows_nobody_more_than_their_own(api: Api, store: Store) -> None:
    await accept(store, 2, user_id=OTHER)
    mine = await accept(store, 2)
    cursor = (await listed(api, limit=1)).json()["nextCursor"]
    assert ids(await listed(api, cursor=cursor)) == [mine[0].id]
    assert len(ids(await listed(api, OTHER, cursor=cursor))) == 2


def test_a_cursor_that_was_changed_anywhere_is_refused() -> None:
    place = NOON + timedelta(microseconds=123_456), "0123abc"
    cursor = write_cursor("jobs", *place, "secret")
    assert read_cursor("jobs", cursor, "secret", JOB_ID) == place
    others = {cursor[:at] + "AB"[cursor[at] == "A"] + cursor[at + 1 :] for at in range(len(cursor))}
    cut = {cursor[:at] for at in range(len(cursor))}
    foreign = {write_cursor("jobs", *place, "another"), write_cursor("costs", *place, "secret")}
    for bad in (*others, *cut, *foreign, cursor + "A", cursor + "====", f" {cursor}"):
        with pytest.raises(Problem) as refused:
            read_cursor("jobs", bad, "secret", JOB_ID)
        assert refused.value.status == 422


@pytest.mark.parametrize("job_id", ["a\0b", "a b", "", "\xfc"], ids=ascii)
def test_a_cursor_of_no_jobs_place_is_refused_however_well_it_is_sealed(job_id: str) -> None:
    for place in ((NOON, job_id), (NOON - timedelta(days=365_000), "0123abc")):
        with pytest.raises(Problem) as refused:
            read_cursor("jobs", write_cursor("jobs", *place, ""), "", JOB_ID)
        assert refused.value.status == 422


# How jobs are asked for, and by which index they are found.
WAYS = [
    (Wanted(), "jobs_all"),
    (Wanted(type="text-analysis"), "jobs_all"),
    (Wanted(user_id=USER), "jobs_of_user"),
    (Wanted(user_id=USER, type="text-analysis"), "jobs_of_user"),
    (Wanted(user_id=USER, status=JobStatus.COMPLETED), "jobs_of_user"),
    (Wanted(user_id=USER, since=NOON, until=NOON + timedelta(days=36500)), "jobs_of_user"),
    (Wanted(user_id=USER, status=JobStatus.FAILED), "jobs_failed"),
    (Wanted(status=JobStatus.FAILED), "jobs_failed"),
    (Wanted(status=JobStatus.WAITING), "jobs_open"),
    (Wanted(media_item_id="m7"), "jobs_of_media_item"),
    (Wanted(cost_center="team-7"), "jobs_of_cost_center"),
]
JOBS = """
insert into media_items (id, user_id) select 'm' || n, 'user-1' from generate_series(1, 200) n;
insert into jobs (id, type, user_id, cost_center, media_item_id, request, progress, max_attempts, status,
                  accepted_at)
select 'job-' || n, (array['image-processing', 'text-analysis'])[1 + n % 2], 'user-' || n % 51,
       'team-' || n % 41, 'm' || 1 + abs(hashint4(n)) % 200, '{}', '{}', 3,
       case when n % 500 = 0 then 'failed' when n % 700 = 1 then 'waiting' else 'completed' end,
       now() - n * interval '1 s'
from generate_series(1, 20000) n;
analyze jobs;
"""


async def test_each_way_of_asking_has_an_index_that_gives_the_order(store: Store) -> None:
    """With and without a place to go on from; nothing is sorted."""
    await store.pool.execute(JOBS)
    async with store.pool.acquire() as connection:
        await store.queries.plan_by_values(connection)
        for wanted, index in WAYS:
            for place in (None, Place(datetime.now(UTC), "a")):
                plan = await explain(store, connection, wanted, place)
                assert [node.get("Index Name") for node in plan] == [None, index], (wanted, place, plan)


async def explain(store: Store, connection: Any, wanted: Wanted, place: Place | None) -> list[dict[str, Any]]:
    """How Postgres goes about a list: the nodes of its plan, from the outermost."""
    at = (None, None) if place is None else attrs.astuple(place)
    sql, given = store.queries.list_jobs.sql, (*attrs.astuple(wanted), *at, 51)
    node = (await connection.fetchval(f"explain (format json) {sql}", *given))[0]["Plan"]
    nodes = []
    while node:
        nodes.append(node)
        node = next(iter(node.get("Plans", [])), None)
    return nodes
