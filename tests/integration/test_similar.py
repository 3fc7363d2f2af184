"""What is like a media item: the nearest vectors by cosine, of one's own items."""

from collections.abc import Sequence
from typing import Any

import pytest
from house import OTHER, USER, Api
from store_kit import CHARGE, accepted, completed, started

from mediaq.model import Settled, Vector
from mediaq.resources import Resources
from mediaq.store import attempts, operations, vectors
from mediaq.store.pool import Store

MODEL = "amazon.titan-embed-text-v2:0"
# Items, enough for an index to be worth it.
MANY = 3_000


@pytest.fixture
def store(resources: Resources) -> Store:
    return resources.store


def direction(*parts: float) -> list[float]:
    """A vector that the first places of which are given."""
    return [*parts, *[0.0] * (256 - len(parts))]


async def embedded(
    store: Store, item: str, values: list[float], user: str = USER, model: str = MODEL, **metadata: Any
) -> None:
    job = await started(store, await accepted(store, media_item_id=item, user_id=user))
    run = await operations.begin(store, job, "bedrock", "generateEmbedding", estimate=CHARGE)
    await operations.settle(store, run, Settled([], CHARGE, [Vector(model, values, metadata)]))
    await attempts.end(store, job, completed())


@pytest.fixture
async def compass(store: Store) -> None:
    await embedded(store, "north", direction(0, 1))
    await embedded(store, "north-east", direction(1, 1), title="between")
    await embedded(store, "east", direction(1, 0))
    await embedded(store, "south", direction(0, -1))
    await embedded(store, "another's", direction(0.1, 1), OTHER)


async def similar(api: Api, item: str, user: str = USER, *, admin: bool = False, **query: Any) -> Any:
    claims = {"admin": True} if admin else {}
    return await api.http.get(f"/api/media/{item}/similar", params=query, headers=api.as_user(user, **claims))


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["mediaItemId"] for item in answer.json()["items"]]


async def test_own_items_are_shown_the_most_similar_first(api: Api, compass: None) -> None:
    answer = await similar(api, "north")
    assert names(answer) == ["north-east", "east", "south"]
    shown = answer.json()
    assert (shown["mediaItemId"], shown["model"], shown["dimensions"]) == ("north", MODEL, 256)
    assert [item["similarity"] for item in shown["items"]] == pytest.approx([0.5**0.5, 0, -1], abs=1e-6)
    assert shown["items"][0]["metadata"] == {"title": "between"}


async def test_admins_see_everybodys_items(api: Api, compass: None) -> None:
    assert names(await similar(api, "north", "root", admin=True, limit=2)) == ["another's", "north-east"]


async def test_vectors_of_one_model_and_length_are_compared(api: Api, store: Store, compass: None) -> None:
    await embedded(store, "north", [1.0] * 512, model="other")
    await embedded(store, "other", [1.0] * 512, model="other")
    assert names(await similar(api, "north")) == ["other"]
    assert names(await similar(api, "north", model=MODEL)) == ["north-east", "east", "south"]


async def test_an_item_whose_name_has_a_slash_is_found(api: Api, store: Store, compass: None) -> None:
    await embedded(store, "a/b", direction(1, 0.1))
    assert names(await similar(api, "a/b", limit=1)) == ["east"]


async def test_an_unknown_item_is_not_found(api: Api) -> None:
    answer = await similar(api, "nowhere")
    assert (answer.status_code, answer.json()["error"]) == (404, "there is no media item nowhere")


async def test_anothers_item_is_forbidden(api: Api, compass: None) -> None:
    answer = await similar(api, "another's")
    assert (answer.status_code, answer.json()["error"]) == (
        403,
        "media item another's belongs to another user",
    )


async def test_an_item_without_a_vector_is_a_conflict_that_says_what_to_do(
    api: Api, store: Store, compass: None
) -> None:
    await accepted(store, media_item_id="new", user_id=USER)
    answer = await similar(api, "new")
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        "media item new has no vector yet: send it to embedding-generation first",
    )
    answer = await similar(api, "north", model="none")
    assert answer.status_code == 409
    assert "no vector of none yet" in answer.json()["error"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "", "1.5", "9" * 30])
async def test_a_bad_limit_is_refused_by_name(api: Api, limit: str) -> None:
    answer = await similar(api, "north", limit=limit)
    assert (answer.status_code, answer.json()["field"]) == (422, "limit")


async def test_a_caller_without_a_token_is_refused(api: Api) -> None:
    assert (await api.http.get("/api/media/north/similar")).status_code == 401


async def fill(store: Store, user: str, count: int) -> None:
    """Gives a user so many items with vectors that differ."""
    await store.pool.execute(
        "insert into media_items (id, user_id) select $1 || n, $1 from generate_series(1, $2::int) n",
        user,
        count,
    )
    await store.pool.execute(
        "insert into embeddings (media_item_id, model, dimensions, vector)"
        " select $1 || n, $2, 256, (array[cos(n), sin(n)] || array_fill(0.1::float8, array[254]))::vector"
        " from generate_series(1, $3::int) n",
        user, MODEL, count,
    )  # fmt: skip


async def plan(store: Store, query: str, *arguments: Any) -> str:
    sql: str = getattr(vectors.queries_of(256), query).sql
    rows: Sequence[Any] = await store.pool.fetch(f"explain {sql}", *arguments)
    return "\n".join(row[0] for row in rows)


async def test_the_index_is_searched_also_among_ones_own_items(api: Api, store: Store) -> None:
    await fill(store, USER, MANY)
    await fill(store, OTHER, MANY)
    await store.pool.execute("analyze")
    for query, whose in (("nearest", ()), ("nearest_of_user", (USER,))):
        how = await plan(store, query, f"{USER}1", MODEL, *whose, 10)
        assert "Index Scan using embeddings_vector_idx" in how, how
    # More than an index gives by itself, half of them another's.
    found = names(await similar(api, f"{USER}1", limit=100))
    assert len(found) == 100
    assert all(name.startswith(USER) for name in found)
