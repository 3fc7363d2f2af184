"""The cost ledger over HTTP: sums, rows page by page, and tables that spreadsheets may open."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from cuttable import Cuttable
from house import OTHER, USER, Api

from mediaq.resources import Resources
from mediaq.service import costs as route
from mediaq.service.shapes import CostsShown
from mediaq.store import costs
from mediaq.store.costs import Chosen
from mediaq.store.pool import Store

NOVEMBER: dict[str, Any] = {"from": "2025-11-01", "to": "2025-12-01"}
INSERT = """
insert into cost_entries (user_id, cost_center, media_item_id, job_id, service, operation, item, units, unit,
                          unit_price, price_version, amount, certainty, created_at)
values ($1, $2, $3, $4, $5, $6, 'an item', 1, 'call', $7::numeric, '2025-11', $7::numeric, $8, $9)
"""


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


async def spent(
    store: Store,
    when: str,
    amount: str = "0.001",
    *,
    user: str = USER,
    center: str | None = "team-a",
    item: str = "photo",
    job: str = "job",
    of: str = "rekognition.detectLabels",
    certainty: str = "billed",
) -> None:
    service, operation = of.split(".")
    at = datetime.fromisoformat(when).replace(tzinfo=UTC)
    await store.pool.execute(
        INSERT, user, center, item, job, service, operation, Decimal(amount), certainty, at
    )


@pytest.fixture
async def november(store: Store) -> None:
    await spent(store, "2025-10-31T23:59:59.999", "100")
    await spent(store, "2025-11-01", "0.10")
    await spent(store, "2025-11-01T12:00", "0.20", center=None, of="comprehend.detectSentiment")
    await spent(store, "2025-11-02", "0.0000001", job="job-2", item="other")
    await spent(store, "2025-11-02", "0.4", certainty="possibly_billed")
    await spent(store, "2025-11-02", "0", certainty="reused")
    await spent(store, "2025-11-30T23:59:59.999", "1", user=OTHER, center="team-b")
    await spent(store, "2025-12-01", "1000")


async def ask(
    api: Api, user: str = USER, *, admin: bool = False, accept: str = "*/*", **query: Any
) -> httpx.Response:
    claims = {"admin": True} if admin else {}
    headers = {**api.as_user(user, **claims), "Accept": accept}
    return await api.http.get("/api/costs", params=query, headers=headers)


async def found(api: Api, **asked: Any) -> Any:
    """What is answered, digit for digit."""
    answer = await ask(api, **asked)
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=CostsShown)
    return msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


async def test_the_rows_of_a_time_come_with_their_sum(api: Api, november: None) -> None:
    shown = await found(api, **NOVEMBER)
    assert shown["total"] == {
        "calls": 4,
        "reused": 1,
        "billed": Decimal("0.3000001"),
        "possiblyBilled": Decimal("0.4"),
    }
    assert [row["amount"] for row in shown["rows"]] == [
        0,
        Decimal("0.4"),
        Decimal("0.0000001"),
        *map(Decimal, ("0.20", "0.10")),
    ]
    assert shown["rows"][-1] == {
        "id": 2,
        "createdAt": 1_761_955_200_000,
        "userId": USER,
        "costCenter": "team-a",
        "mediaItemId": "photo",
        "jobId": "job",
        "service": "rekognition",
        "operation": "detectLabels",
        "item": "an item",
        "units": 1,
        "unit": "call",
        "unitPrice": Decimal("0.10"),
        "priceVersion": "2025-11",
        "amount": Decimal("0.10"),
        "certainty": "billed",
    }
    assert (shown["from"], shown["to"], shown["groups"], shown["nextCursor"]) == (
        1_761_955_200_000,
        1_764_547_200_000,
        [],
        None,
    )


SUMMED: list[tuple[str, list[Any]]] = [
    ("service", [("comprehend", "0.2"), ("rekognition", "0.1000001")]),
    ("operation", [("detectLabels", "0.1000001"), ("detectSentiment", "0.2")]),
    ("day", [("2025-11-01", "0.3"), ("2025-11-02", "0.0000001")]),
    ("month", [("2025-11", "0.3000001")]),
    ("costCenter", [("team-a", "0.1000001"), (None, "0.2")]),
    ("user", [(USER, "0.3000001")]),
]


async def test_costs_are_summed_by_each_name(api: Api, november: None) -> None:
    for group_by, groups in SUMMED:
        shown = await found(api, groupBy=group_by, **NOVEMBER)
        assert [(group[group_by], group["billed"]) for group in shown["groups"]] == [
            (name, Decimal(amount)) for name, amount in groups
        ]
        assert (shown["total"]["billed"], shown["rows"]) == (Decimal("0.3000001"), [])


async def test_names_may_be_combined_in_any_order(api: Api, november: None) -> None:
    asked = [
        await found(api, groupBy=names, **NOVEMBER) for names in ("costCenter,day", "day,costCenter,day")
    ]
    assert asked[0] == asked[1]
    assert [
        (group["day"], group["costCenter"], group["calls"], group["reused"]) for group in asked[0]["groups"]
    ] == [
        ("2025-11-01", "team-a", 1, 0),
        ("2025-11-01", None, 1, 0),
        ("2025-11-02", "team-a", 2, 1),
    ]


async def test_callers_see_their_own_and_admins_all(api: Api, november: None) -> None:
    assert (await found(api, user=OTHER, **NOVEMBER))["total"]["billed"] == 1
    everybody = await found(api, user="root", admin=True, groupBy="user", **NOVEMBER)
    assert [group["user"] for group in everybody["groups"]] == [USER, OTHER]
    one = await found(api, user="root", admin=True, userId=OTHER, **NOVEMBER)
    assert [row["userId"] for row in one["rows"]] == [OTHER]
    assert (await found(api, userId=USER, **NOVEMBER))["total"]["calls"] == 4
    refused = await ask(api, userId=OTHER, **NOVEMBER)
    assert (refused.status_code, refused.json()["field"]) == (403, "userId")


CHOSEN: list[tuple[dict[str, Any], int]] = [
    ({"costCenter": "team-a"}, 3),
    ({"service": "comprehend"}, 1),
    ({"operation": "detectLabels"}, 3),
    ({"jobId": "job-2"}, 1),
    ({"mediaItemId": "other"}, 1),
    ({"mediaItemId": "other", "jobId": "job"}, 0),
    ({"from": "2025-11-01T12:00:00Z"}, 3),
    ({"from": "2025-11-01T14:00:00+02:00"}, 3),
    ({"from": "2025-11-01T12:00:00.001"}, 2),
    ({"to": "2025-11-02"}, 2),
    ({"from": "2025-11-05", "to": "2025-11-05"}, 0),
]


async def test_rows_are_chosen_by_what_is_asked(api: Api, november: None) -> None:
    for only, calls in CHOSEN:
        assert (await found(api, **{**NOVEMBER, **only}))["total"]["calls"] == calls, only


async def test_by_default_it_is_the_month_to_date(api: Api, store: Store) -> None:
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await spent(store, month.isoformat()[:19], "2")
    await spent(store, (month - timedelta(seconds=1)).isoformat()[:19], "3")
    shown = await found(api)
    assert (shown["total"]["billed"], shown["from"]) == (2, int(month.timestamp() * 1000))
    ended = await found(api, to=month.date().isoformat())
    assert ended["total"]["billed"] == 3, "a month that has just ended is the whole of it"


async def test_rows_are_read_page_by_page_each_once(api: Api, store: Store) -> None:
    """Also those of one moment; what is added meanwhile is newer than the first page."""
    for number in range(7):
        await spent(store, "2025-11-02" if number < 5 else "2025-11-01", job=f"job-{number}")
    jobs: list[str] = []
    page = await found(api, limit=2, **NOVEMBER)
    assert page["total"]["calls"] == 7
    while True:
        jobs += [row["jobId"] for row in page["rows"]]
        if page["nextCursor"] is None:
            break
        await spent(store, "2025-11-03")
        page = await found(api, limit=2, cursor=page["nextCursor"], **NOVEMBER)
        assert page["total"] is None
    assert jobs == [f"job-{number}" for number in (4, 3, 2, 1, 0, 6, 5)]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"from": "yesterday"}, "from"),
    ({"from": "2025-13-01"}, "from"),
    ({"from": "2025-W10-1"}, "from"),
    ({"from": "1969-12-31"}, "from"),
    ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ({"from": ""}, "from"),
    ({"to": "2025-11-01T25:00"}, "to"),
    ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
    ({"from": "2025-11-02", "to": "2025-11-01"}, "from"),
    ({"from": "9998-01-01"}, "from"),
    ({"groupBy": "colour"}, "groupBy"),
    ({"groupBy": "day,"}, "groupBy"),
    ({"groupBy": ""}, "groupBy"),
    ({"groupBy": "created_at"}, "groupBy"),
    ({"limit": "0"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"cursor": "1"}, "cursor"),
    ({"cursor": "1-x"}, "cursor"),
    ({"cursor": "9" * 18 + "-1"}, "cursor"),
    ({"cursor": "1-1", "groupBy": "day"}, "cursor"),
    ({"limit": "1", "format": "csv"}, "limit"),
    ({"format": "xml"}, "format"),
    ({"jobId": "\0"}, "jobId"),
    ({"colour": "red"}, "colour"),
]


async def test_a_bad_query_is_refused_by_name(api: Api) -> None:
    for query, field in BAD:
        answer = await ask(api, **query)
        assert (answer.status_code, answer.json()["field"]) == (422, field), query


async def test_a_caller_without_a_token_is_refused(api: Api) -> None:
    assert (await api.http.get("/api/costs")).status_code == 401


async def test_too_many_sums_are_refused(api: Api, november: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "MOST_GROUPS", 1)
    answer = await ask(api, groupBy="day", **NOVEMBER)
    assert (answer.status_code, answer.json()["field"]) == (422, "groupBy")
    assert (await ask(api, groupBy="month", **NOVEMBER)).status_code == 200


async def test_rows_are_a_table_too(api: Api, november: None) -> None:
    answer = await ask(api, format="csv", **NOVEMBER)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="costs-2025-11-01-2025-11-30.csv"'
    lines = answer.text.split("\r\n")
    assert lines[0].startswith(
        "id,createdAt,userId,costCenter,mediaItemId,jobId,service,operation,item,units,"
    )
    assert (len(lines), lines[-1]) == (7, "")
    rows = table(answer)
    assert [row["amount"] for row in rows] == ["0", "0.4", "0.0000001", "0.20", "0.10"]
    assert (rows[-1]["createdAt"], rows[-2]["costCenter"]) == ("2025-11-01T00:00:00.000Z", "")


async def test_the_accept_header_tells_which_is_wanted_unless_the_query_does(
    api: Api, november: None
) -> None:
    asked = [
        ("text/csv, */*;q=0.1", NOVEMBER),
        ("text/csv", NOVEMBER | {"format": "json"}),
        ("*/*", NOVEMBER),
    ]
    answers = [await ask(api, accept=accept, **query) for accept, query in asked]
    kinds = [answer.headers["content-type"].partition(";")[0] for answer in answers]
    assert kinds == ["text/csv", "application/json", "application/json"]


async def test_sums_are_a_table_too(api: Api, november: None) -> None:
    answer = await ask(api, format="csv", groupBy="service,day", **NOVEMBER)
    assert answer.text == (
        "service,day,calls,reused,billed,possiblyBilled\r\n"
        "comprehend,2025-11-01,1,0,0.20,0\r\n"
        "rekognition,2025-11-01,1,0,0.10,0\r\n"
        "rekognition,2025-11-02,2,1,0.0000001,0.4\r\n"
    )


async def test_a_cell_is_no_formula(api: Api, store: Store) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", "\uff1d1"]
    for text in texts:
        await spent(store, "2025-11-02", center=text, item=text)
    rows = table(await ask(api, format="csv", **NOVEMBER))
    defused = [f"'{text}" for text in texts]
    assert [(row["costCenter"], row["mediaItemId"]) for row in rows] == [
        (each, each) for each in defused[::-1]
    ]
    groups = table(await ask(api, format="csv", groupBy="costCenter", **NOVEMBER))
    assert sorted(group["costCenter"] for group in groups) == sorted(defused)


async def test_cells_may_have_commas_quotes_and_lines(api: Api, store: Store) -> None:
    text = 'a, "b"\r\nc; \u00e4\u4e16'
    await spent(store, "2025-11-02", center=text)
    [row] = table(await ask(api, format="csv", **NOVEMBER))
    assert row["costCenter"] == text


# Transactions that are open while nobody says anything in them.
HELD = """
select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
"""
FILL = """
insert into cost_entries (user_id, cost_center, media_item_id, job_id, service, operation, item, units, unit,
                          unit_price, price_version, amount, certainty, created_at)
select ($2::text[])[1 + n % cardinality($2::text[])], 'team-' || n % 20, 'item-' || n / 5, 'job-' || n / 3,
       'rekognition', 'operation-' || n % 12, 'rekognition.image', 1, 'image', 0.001, '2025-11', 0.001,
       'billed', timestamptz '2025-11-01 00:00Z' + n * (interval '30 days' / $1)
from generate_series(0, $1::int - 1) n
"""


async def fill(store: Store, count: int, users: Sequence[str] = (USER,)) -> None:
    """Puts so many rows into a month."""
    await store.pool.execute(FILL, count, list(users), timeout=120)


async def test_a_long_table_is_whole_and_holds_no_connection_while_it_is_read(api: Api, store: Store) -> None:
    """Nor a transaction, which Postgres would end under a reader that is slow."""
    await fill(store, 30_000)
    headers = {**api.as_user(USER), "Accept": "text/csv"}
    async with api.http.stream("GET", "/api/costs", params=NOVEMBER, headers=headers) as answer:
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("id,")
        assert await store.pool.fetchval(HELD) == 0
        ids = [line.partition(",")[0] async for line in lines]
    assert ids == [str(number) for number in range(30_000, 0, -1)]


async def test_a_table_that_breaks_off_is_not_taken_for_whole(
    api: Api, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, 3_000)
    read, pages = costs.page, iter(range(2))

    async def break_off(*args: Any, **kwargs: Any) -> Any:
        if next(pages, None) is None:
            raise ConnectionResetError
        return await read(*args, **kwargs)

    monkeypatch.setattr(costs, "page", break_off)
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(api, format="csv", **NOVEMBER)


async def test_sums_and_rows_of_everybody_are_found_by_their_time(store: Store) -> None:
    """Not by reading the whole ledger."""
    await fill(store, 20_000, (USER, OTHER))
    await store.pool.execute("analyze cost_entries")
    day = Chosen(datetime(2025, 11, 3, tzinfo=UTC), datetime(2025, 11, 4, tzinfo=UTC), {})
    for queries, query in ((("service",), "cost_sums"), ((), "cost_rows")):
        sql = getattr(costs._queries(queries, (), paged=False), query).sql
        plan = await store.pool.fetch(f"explain {sql}", *_in_order(sql, day))
        assert any("cost_entries_created_at_id_idx" in row[0] for row in plan), plan


def _in_order(sql: str, chosen: Chosen) -> list[Any]:
    values = {"since": chosen.since, "until": chosen.until, "most": 10}
    return [values[name] for name in ("since", "until", "most")]


@pytest.fixture
async def postgres(overrides: dict[str, str], migrated_url: str) -> AsyncIterator[Cuttable]:
    """The way to Postgres of what uses the settings."""
    at = urlsplit(migrated_url)
    async with Cuttable(at.hostname or "", at.port or 0) as relay:
        overrides["DATABASE_URL"] = migrated_url.replace(f":{at.port}/", f":{relay.port}/")
        yield relay


async def test_while_postgres_is_away_all_are_refused(postgres: Cuttable, api: Api) -> None:
    await postgres.cut()
    answers = [await ask(api), await ask(api, groupBy="day"), await ask(api, format="csv")]
    assert [answer.status_code for answer in answers] == [503] * 3
