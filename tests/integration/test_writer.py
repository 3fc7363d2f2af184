"""Group commit: writes of running jobs share transactions, keep their order, and stand once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import attrs
import pytest
from attrs import frozen
from crossing import Crossing
from servers import Databases
from store_kit import CHARGE, OPERATIONS, accepted, completed, failed, look, started

from mediaq.errors import FenceLost, Unanswered
from mediaq.model import Job, JobStatus, Progress, Settled, TaskStatus, Tier, Vector
from mediaq.settings import Database
from mediaq.store import attempts, operations, pool, writer
from mediaq.store.operations import Run
from mediaq.store.pool import Store, open_store
from mediaq.store.writer import LAST_WORDS, MOST, PATIENCE, ROOM

pytest_plugins = ["store_fixtures"]

TIERED = attrs.evolve(CHARGE, tiers=(Tier(Decimal(2), Decimal("0.0005")),))
LOST = Unanswered("Rekognition gave no answer", "ReadTimeoutError")
# What is on record, times and names made at random aside.
RECORD = """
select jsonb_build_object(
    'jobs', (select jsonb_agg(to_jsonb(jobs) - array['id', 'lease_owner', 'lease_until', 'accepted_at', 'due_at',
                                                     'processed_at', 'finished_at'] order by accepted_at) from jobs),
    'runs', (select jsonb_agg(to_jsonb(runs) - array['id', 'job_id', 'key', 'started_at', 'finished_at', 'deadline']
                              order by id) from operation_runs runs),
    'costs', (select jsonb_agg(to_jsonb(costs) - array['id', 'run_id', 'job_id', 'created_at'] order by id)
              from cost_entries costs),
    'usage', (select jsonb_agg(jsonb_build_array(item, units)) from monthly_usage),
    'items', (select jsonb_agg(to_jsonb(items) - array['created_at', 'updated_at'] #- '{metadata,processedAt}'
                               order by id) from media_items items),
    'vectors', (select jsonb_agg(vector::text) from embeddings))
"""  # noqa: E501


@frozen
class Scene:
    """A running job with a call under way."""

    store: Store
    job: Job
    run: Run


Write = Callable[[Scene], Awaitable[Any]]


async def begun(store: Store, job: Job, operation: str = "detectLabels", **more: Any) -> Run:
    return await operations.begin(store, job, "rekognition", operation, **{"estimate": CHARGE, **more})


async def recorded_operations(store: Store) -> list[str]:
    rows = await store.pool.fetch("select operation from operation_runs order by id")
    return [row["operation"] for row in rows]


@asynccontextmanager
async def held(store: Store, job: Job) -> AsyncIterator[None]:
    """Has the writer wait at a job while the block runs: what is written meanwhile waits, too."""
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute("select from jobs where id = $1 for update", job.id)
        yield


async def queued(*writes: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    """Starts writes one after the other, each queued before the next."""
    tasks = []
    for write in writes:
        tasks.append(asyncio.ensure_future(write))
        await asyncio.sleep(0)
    return tasks


# Sharing


async def test_writes_at_once_share_a_transaction(store: Store) -> None:
    job = await started(store)
    await asyncio.gather(*(begun(store, job) for _ in range(MOST)))
    counted = await store.pool.fetchrow(
        "select count(*), count(distinct xmin::text) as commits from operation_runs"
    )
    assert counted is not None
    assert (counted["count"], counted["commits"]) == (MOST, 1)


async def test_a_transaction_has_a_bounded_number_of_writes(store: Store) -> None:
    job = await started(store)
    await asyncio.gather(*(begun(store, job) for _ in range(3 * MOST)))
    sizes = await store.pool.fetch("select count(*) from operation_runs group by xmin::text")
    assert [row["count"] for row in sizes] == [MOST] * 3


async def test_what_comes_during_a_transaction_shares_the_next_one(store: Store) -> None:
    job = await started(store)
    async with held(store, job):
        writes = await queued(begun(store, job, "first"), *(begun(store, job, "later") for _ in range(20)))
    await asyncio.gather(*writes)
    commits = await store.pool.fetch("select count(distinct xmin::text) from operation_runs")
    assert commits[0]["count"] <= 2


# Order


async def test_writes_go_on_record_in_the_order_in_which_they_came(store: Store) -> None:
    job = await started(store)
    names = [f"operation-{number}" for number in range(2 * MOST + 7)]
    await asyncio.gather(*(begun(store, job, name) for name in names))
    assert await recorded_operations(store) == names


async def test_a_job_that_is_handed_back_and_started_again_at_once_counts_no_death(store: Store) -> None:
    """Though another start, which would take this one along, came before both."""
    blocker, job, other = await started(store), await started(store), await accepted(store)
    async with held(store, blocker):
        writes = await queued(
            attempts.renew(store, blocker, 60),
            attempts.start(store, other.id, "worker", 60),
            attempts.release(store, job),
            attempts.start(store, job.id, "worker", 60),
        )
    await asyncio.gather(*writes)
    again = await look(store, job)
    assert (again.status, again.fence, again.attempts, again.deaths) == (JobStatus.ACTIVE, 2, 1, 0)


async def test_what_keeps_apart_does_not_fall_behind_later_writes_of_its_job(store: Store) -> None:
    blocker, job = await started(store), await started(store)
    steps = [Progress.of(OPERATIONS).having("detectText", TaskStatus.PROCESSING, str(n)) for n in range(3)]
    async with held(store, blocker):
        writes = await queued(
            attempts.renew(store, blocker, 60),
            *(attempts.write_progress(store, job, step) for step in steps),
            attempts.end(store, job, completed()),
        )
    # None of them finds the job closed.
    await asyncio.gather(*writes)
    assert (await look(store, job)).progress == steps[-1].as_json()


# Refused


class Unspeakable:
    """Nothing that JSON knows."""


@pytest.mark.parametrize(
    "answer",
    [Settled([], CHARGE, [Vector("m", [], {})]), Settled(Unspeakable(), CHARGE)],
    ids=["refused by Postgres", "no JSON"],
)
async def test_a_write_that_cannot_be_fails_alone(store: Store, answer: Settled) -> None:
    job = await started(store)
    good = [await begun(store, job, f"operation-{number}") for number in range(5)]
    bad = await begun(store, job)
    async with asyncio.timeout(10):
        ended = await asyncio.gather(
            *(operations.settle(store, run, Settled("found", CHARGE)) for run in good[:3]),
            operations.settle(store, bad, answer),
            *(operations.settle(store, run, Settled("found", CHARGE)) for run in good[3:]),
            attempts.write_progress(store, job, Progress.of(OPERATIONS)),
            return_exceptions=True,
        )
    assert [type(each) for each in ended if each is not True and each is not None] == [type(ended[3])]
    assert isinstance(ended[3], Exception)
    rows = await store.pool.fetch(
        "select state, certainty from operation_runs r join cost_entries on run_id = r.id"
    )
    assert Counter((row["state"], row["certainty"]) for row in rows) == {
        ("succeeded", "billed"): 5,
        ("started", "possibly_billed"): 1,
    }
    assert not store.link.away


async def test_a_job_that_is_gone_with_its_item_takes_no_other_with_it(store: Store) -> None:
    """Its cost row stays, and says what its late answer cost."""
    gone, stays = await started(store, await accepted(store, media_item_id="gone")), await started(store)
    runs = [await begun(store, gone), await begun(store, stays)]
    await store.pool.execute("delete from media_items where id = 'gone'")
    ended = await asyncio.gather(
        begun(store, gone),
        *(operations.settle(store, run, Settled("found", CHARGE)) for run in runs),
        attempts.end(store, gone, completed()),
        attempts.end(store, stays, completed()),
        return_exceptions=True,
    )
    assert [type(each) if isinstance(each, Exception) else each for each in ended] == [
        FenceLost,
        False,
        True,
        FenceLost,
        None,
    ]
    costs = await store.pool.fetch("select certainty from cost_entries order by id")
    assert [row["certainty"] for row in costs] == ["billed", "billed"]


# A connection that breaks


MOVED = Progress.of(OPERATIONS).having("detectText", TaskStatus.COMPLETED)
FOUND = Settled("found", TIERED, [Vector("m", [1.0], {})])
WRITES: dict[str, Write] = {
    "start": lambda on: attempts.start(on.store, on.job.id, "another", 60),
    "renew": lambda on: attempts.renew(on.store, on.job, 60),
    "progress": lambda on: attempts.write_progress(on.store, on.job, MOVED),
    "begin": lambda on: begun(on.store, on.job),
    "begin with a token": lambda on: begun(on.store, on.job, token="t"),
    "adopt": lambda on: begun(on.store, on.job, token="adopted"),
    "settle": lambda on: operations.settle(on.store, on.run, FOUND),
    "fail": lambda on: operations.fail(on.store, on.run, LOST),
    "name": lambda on: operations.name_provider_job(on.store, on.run, "job-1"),
    "complete": lambda on: attempts.end(on.store, on.job, completed(labels=["cat"])),
    "fail for good": lambda on: attempts.end(on.store, on.job, failed()),
    "release": lambda on: attempts.release(on.store, on.job),
}


async def scene(store: Store) -> Scene:
    """One call is under way, another may be adopted; half of a tier is used up."""
    job = await started(store)
    await operations.settle(store, await begun(store, job, "detectText"), Settled([], TIERED))
    await begun(store, job, "transcribe", token="adopted")
    return Scene(store, job, await begun(store, job))


async def record(store: Store) -> Any:
    return await store.pool.fetchval(RECORD)


@pytest.fixture
async def untouched(databases: Databases, schema: str) -> AsyncIterator[Store]:
    """A store whose connections nothing happens to."""
    with databases.fresh(schema) as url:
        async with open_store(Database(url=url)) as opened:
            yield opened


@pytest.mark.parametrize("side", ["command", "answer"], ids=["before it arrives", "after it is done"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_connection_that_breaks_at_the_commit_leaves_what_an_unbroken_one_leaves(
    store: Store, untouched: Store, migrated_url: str, write: Write, side: str
) -> None:
    answers = [await write(await scene(untouched))]
    async with Crossing(migrated_url) as crossing, open_store(Database(url=crossing.url)) as broken:
        set_up = await scene(broken)
        trap = crossing.set_trap(side, b"COMMIT")
        answers.append(await write(set_up))
        assert trap.sprung.is_set()
    assert await record(store) == await record(untouched)
    assert comparable(answers[1]) == comparable(answers[0])


def comparable(answer: Any) -> Any:
    """What an answer says, times, ids and names made at random aside."""
    match answer:
        case Job():
            return (answer.status, answer.fence, answer.attempts, answer.deaths)
        case Run():
            return answer.operation
        case _:
            return answer


async def test_a_shared_transaction_whose_answer_is_lost_is_repeated_as_a_whole(
    store: Store, migrated_url: str
) -> None:
    async with Crossing(migrated_url) as crossing, open_store(Database(url=crossing.url)) as broken:
        jobs = [await started(broken) for _ in range(10)]
        runs = await asyncio.gather(*(begun(broken, job) for job in jobs))
        trap = crossing.set_trap("answer", b"COMMIT")
        await asyncio.gather(
            *(operations.settle(broken, run, Settled([], TIERED)) for run in runs),
            *(begun(broken, job, "detectText") for job in jobs),
        )
        assert trap.sprung.is_set()
    assert await store.pool.fetchval("select units from monthly_usage") == 10
    amounts = await store.pool.fetch("select amount from cost_entries where certainty = 'billed' order by id")
    assert [row["amount"] for row in amounts] == [Decimal("0.001")] * 2 + [Decimal("0.0005")] * 8
    assert Counter(await recorded_operations(store)) == {"detectLabels": 10, "detectText": 10}


# A Postgres that is slow or away


async def test_what_does_not_fit_while_postgres_is_away_waits_and_loses_neither_itself_nor_its_place(
    store: Store, migrated_url: str
) -> None:
    async with Crossing(migrated_url) as crossing, open_store(Database(url=crossing.url)) as served:
        job = await started(served)
        crossing.close()
        names = [f"operation-{number}" for number in range(ROOM + 300)]
        writes = [asyncio.create_task(begun(served, job, name)) for name in names]
        await asyncio.wait_for(served.link.lost.wait(), 10)
        await crossing.open()
        runs = await asyncio.gather(*writes)
    assert [run.operation for run in runs] == await recorded_operations(store) == names


async def test_a_postgres_that_restarts_under_writes_costs_none_of_them(
    store: Store, migrated_url: str, postgres_url: str
) -> None:
    job = await started(store)
    admin = await asyncpg.connect(postgres_url)
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"

    async def cut() -> None:
        for _ in range(10):
            await admin.execute(kill, migrated_url.rsplit("/", 1)[1].partition("?")[0])
            await asyncio.sleep(0.02)

    names = [f"operation-{number}" for number in range(600)]
    try:
        *_, runs = await asyncio.gather(cut(), asyncio.gather(*(begun(store, job, name) for name in names)))
    finally:
        await admin.close()
    assert len({run.id for run in runs}) == len(names)
    assert await store.link.outlast(partial(recorded_operations, store)) == names


@pytest.mark.parametrize(
    ("side", "word", "patience"),
    [("command", b"COMMIT", PATIENCE), ("answer", b"adopted", 2.0)],
    ids=["between statements", "within one"],
)
async def test_a_process_that_freezes_in_a_transaction_does_not_keep_its_jobs_from_others(
    store: Store, migrated_url: str, monkeypatch: pytest.MonkeyPatch, side: str, word: bytes, patience: float
) -> None:
    """Postgres takes its locks away; what it was to commit is written anew when it wakes up, if it may."""
    monkeypatch.setattr(pool, "SILENCE", 1.0)
    monkeypatch.setattr(writer, "PATIENCE", patience)
    async with Crossing(migrated_url) as crossing, open_store(Database(url=crossing.url)) as frozen:
        job = await started(frozen)
        trap = crossing.set_trap(side, word, silent=True)
        writing = asyncio.create_task(begun(frozen, job))
        await trap.sprung.wait()
        async with asyncio.timeout(10):
            again = await started(store, job)
        crossing.speak()
        with pytest.raises(FenceLost):
            await writing
    assert (again.fence, await recorded_operations(store)) == (2, [])


# Callers that go away


async def test_a_write_whose_caller_goes_away_before_its_turn_is_not_made(store: Store) -> None:
    blocker, job = await started(store), await started(store)
    async with held(store, blocker):
        writes = await queued(
            attempts.renew(store, blocker, 60),
            begun(store, job, "left"),
            begun(store, job, "stays"),
        )
        await asyncio.sleep(0.05)
        writes[1].cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    assert await recorded_operations(store) == ["stays"]


async def test_a_caller_that_goes_away_in_the_middle_does_not_harm_the_others(store: Store) -> None:
    job = await started(store)
    async with held(store, job):
        writes = await queued(begun(store, job, "left"))
        await asyncio.sleep(0.05)
        writes[0].cancel()
        writes += await queued(begun(store, job, "stays"))
    ended = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert await recorded_operations(store) == ["left", "stays"]


# The end


async def test_what_waits_at_the_end_is_still_written(store: Store, migrated_url: str) -> None:
    job = await started(store)
    async with open_store(Database(url=migrated_url)) as closing:
        writes = await queued(*(begun(closing, job) for _ in range(2 * MOST)))
    await asyncio.gather(*writes)
    assert len(await recorded_operations(store)) == 2 * MOST


@pytest.mark.parametrize("how", ["close", "silence"])
async def test_a_process_ends_soon_though_postgres_is_away_and_whoever_writes_hears_of_it(
    store: Store, migrated_url: str, how: str
) -> None:
    async with Crossing(migrated_url) as crossing:
        async with open_store(Database(url=crossing.url)) as closing:
            # Both kinds of connections are open.
            job = await look(closing, await started(closing))
            getattr(crossing, how)()
            writes = await queued(*(begun(closing, job) for _ in range(ROOM + 10)))
            await asyncio.sleep(0.1)
            since = time.monotonic()
        assert time.monotonic() - since < LAST_WORDS + 3
        async with asyncio.timeout(1):
            ended = await asyncio.gather(*writes, return_exceptions=True)
        assert all(isinstance(each, BaseException) for each in ended)
        crossing.speak()


# Several processes


ITEMS = [f"item-{number}" for number in range(6)]


async def test_processes_that_write_about_the_same_items_at_once_lose_nothing(
    store: Store, migrated_url: str
) -> None:
    async with open_store(Database(url=migrated_url)) as other:
        both = (store, other)
        jobs = [await started(store, await accepted(store, media_item_id=item)) for item in ITEMS * 20]

        async def end(number: int, job: Job) -> None:
            through = both[number % 2]
            run = await begun(through, job)
            await operations.settle(through, run, Settled([], TIERED, [Vector("m", [1.0], {})]))
            await attempts.end(through, job, completed(labels=number))

        async with asyncio.timeout(30):
            await asyncio.gather(
                *(end(number, job) for number, job in enumerate(jobs)),
                *(accepted(both[n % 2], media_item_id=ITEMS[-n % 6]) for n in range(60)),
            )
    assert await store.pool.fetchval("select count(*) from jobs where status = 'completed'") == len(jobs)
    assert await store.pool.fetchval("select units from monthly_usage") == len(jobs)


async def test_processes_that_end_jobs_of_the_same_items_do_not_wait_in_a_circle(
    store: Store, migrated_url: str
) -> None:
    address = Database(url=migrated_url)
    async with open_store(address) as one, open_store(address) as other:
        for _ in range(10):
            jobs = [await started(one, await accepted(one, media_item_id=item)) for item in ITEMS * 2]
            async with store.transaction() as connection:
                # Both have locked a part of the items when they wait for this one.
                await connection.execute("select from media_items where id = 'item-3' for update")
                ending = [attempts.end(one, job, completed()) for job in jobs[:6]]
                ending += [attempts.end(other, job, completed()) for job in jobs[6:]]
                writes = await queued(*ending)
                while await connection.fetchval("select count(*) from pg_locks where not granted") < 2:  # noqa: ASYNC110 - as below
                    await asyncio.sleep(0.01)
            await asyncio.gather(*writes)
    assert await deadlocks(store) == 0


async def deadlocks(store: Store) -> int:
    """How many there were: counted for good when those who met them have gone."""
    others = (
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(10), store.pool.acquire() as connection:
        while await connection.fetchval(others):  # noqa: ASYNC110 - Postgres has no event
            await asyncio.sleep(0.02)
        counted: int = await connection.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
    return counted
