"""Enqueueing from asyncio leaves what stock RQ leaves, and stock workers run it."""

import asyncio
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import foreign
import pytest
from attrs import frozen
from queue_kit import NAME, Worker, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from rq import Callback, Repeat, Retry
from rq import Queue as RQQueue
from rq.exceptions import DuplicateJobError
from rq.job import Dependency
from rq.job import Job as RQJob
from rq.rate_limit import RateLimit
from rq.utils import decode_redis_hash
from rq.webhook import Webhook

from mediaq.queue.backoff import Backoff
from mediaq.queue.queue import Queue

pytest_plugins = ["queue_fixtures"]

# What stock RQ writes as empty texts, which it reads like fields that are not there.
LEFT_OUT_WHERE_EMPTY = {
    *("success_callback_name", "failure_callback_name", "stopped_callback_name"),
    *("started_at", "ended_at", "last_heartbeat", "worker_name", "group_id"),
}
TIMES = {"created_at", "enqueued_at"}
PARENT = "parent"


def nothing(rq: RQQueue) -> None:
    """Leave the queue as it is."""


def waiting_parent(rq: RQQueue) -> None:
    rq.enqueue(foreign.shout, "a", job_id=PARENT)


def parents_in_all_states(rq: RQQueue) -> None:
    rq.enqueue(foreign.shout, "a", job_id="done", result_ttl=-1)
    rq.enqueue(foreign.fail, job_id="failed")
    Worker([NAME], connection=rq.connection).work(burst=True, logging_level="CRITICAL")
    waiting_parent(rq)


def full_limit(rq: RQQueue) -> None:
    rq.enqueue(foreign.shout, "a", job_id=PARENT, rate_limit=RateLimit("few", 1))


@frozen
class Case:
    """A job, and what is there before it."""

    options: dict[str, Any]
    before: Callable[[RQQueue], None] = nothing


CASES = {
    "nothing": Case({}),
    "job_timeout": Case({"job_timeout": 60}),
    "job_timeout as text": Case({"job_timeout": "2h"}),
    "no job_timeout at all": Case({"job_timeout": -1}),
    "result_ttl": Case({"result_ttl": 60}),
    "no result": Case({"result_ttl": 0}),
    "a result for ever": Case({"result_ttl": -1}),
    "failure_ttl": Case({"failure_ttl": "1d"}),
    "ttl": Case({"ttl": 100}),
    "description": Case({"description": "shouts"}),
    "meta": Case({"meta": {"a": 1, "b": [None, "é"]}}),
    "empty meta": Case({"meta": {}}),
    "at_front": Case({"at_front": True}, waiting_parent),
    "retry at once": Case({"retry": Retry(max=3)}),
    "retry": Case({"retry": Retry(max=3, interval=[1, 2, 4])}),
    "retry at the front": Case({"retry": Retry(max=2, interval=5, enqueue_at_front=True)}),
    "repeat": Case({"repeat": Repeat(times=3, interval=[1, 2])}),
    "on_success": Case({"on_success": Callback(foreign.describe)}),
    "on_failure": Case({"on_failure": Callback("foreign.describe", timeout="1m")}),
    "on_stopped": Case({"on_stopped": Callback(foreign.describe, timeout=5)}),
    "webhooks": Case(
        {"webhooks": [Webhook("http://a.test/", "finished", method="POST", headers={"a": "b"})]}
    ),
    "unique": Case({"unique": True}),
    "rate_limit": Case({"rate_limit": RateLimit("few", 2)}),
    "a full rate_limit": Case({"rate_limit": RateLimit("few", 1), "at_front": True, "ttl": 90}, full_limit),
    "depends_on": Case({"depends_on": PARENT}, waiting_parent),
    "depends_on with ttl": Case({"depends_on": [PARENT], "ttl": 100}, waiting_parent),
    "depends_on what is gone": Case({"depends_on": "gone"}),
    "depends_on what is done": Case(
        {"depends_on": ["done", "gone"], "at_front": True}, parents_in_all_states
    ),
    "depends_on many": Case({"depends_on": ["done", "failed", "gone", PARENT]}, parents_in_all_states),
    "depends_on what failed": Case({"depends_on": "failed"}, parents_in_all_states),
    "a dependency that may fail": Case(
        {"depends_on": Dependency("failed", allow_failure=True)}, parents_in_all_states
    ),
    "a dependency": Case({"depends_on": Dependency([PARENT], enqueue_at_front=True)}, waiting_parent),
    "dependencies": Case({"depends_on": ["done", Dependency(PARENT)]}, parents_in_all_states),
    "a limited dependent": Case({"depends_on": PARENT, "rate_limit": RateLimit("few", 1)}, full_limit),
}


def key_state(sync: Redis, key: bytes) -> Any:
    match sync.type(key):
        case b"hash":
            return hash_state(decode_redis_hash(sync.hgetall(key)))
        case b"zset" if key.startswith((b"rq:finished", b"rq:failed")):
            return set(sync.zrange(key, 0, -1))
        case b"zset":
            now = time.time()
            return {
                member: "now" if abs(score - now) < 30 else score for member, score in sync.zscan_iter(key)
            }
        case b"list":
            return sync.lrange(key, 0, -1)
        case b"set":
            return sync.smembers(key)
        case kind:
            return kind


def hash_state(fields: dict[str, bytes]) -> dict[str, object]:
    state: dict[str, object] = dict(fields)
    for name in TIMES & fields.keys():
        written = datetime.strptime(fields[name].decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert abs(written - datetime.now(UTC)) < timedelta(seconds=30)
        state[name] = "now"
    if "data" in fields:
        state["data"] = inflate(fields["data"])
    return {name: value for name, value in state.items() if value or name not in LEFT_OUT_WHERE_EMPTY}


def inflate(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def state(sync: Redis, job_id: str = "job") -> dict[bytes, Any]:
    """Return all that is there, but for how jobs before it ended."""
    keys = [key for key in sync.scan_iter() if not key.startswith((b"rq:worker", b"rq:results", b"rq:clean"))]
    others = {f"rq:job:{other}".encode() for other in ("done", "failed", PARENT)}
    found = {key: key_state(sync, key) for key in keys if key not in others}
    return found | {key + b" expires": sync.ttl(key) > 0 for key in keys}


def as_read_by_rq(sync: Redis, job_id: str = "job") -> dict[str, Any]:
    job = RQJob.fetch(job_id, connection=sync)
    job.args, job.func_name, job.meta  # noqa: B018 - read when they are asked for
    ours = {"connection", "log", "serializer", "created_at", "enqueued_at", "_data"}
    return {name: value for name, value in vars(job).items() if name not in ours}


@pytest.mark.parametrize("name", CASES)
async def test_a_job_is_left_as_stock_rq_leaves_it(queue: Queue, rq: RQQueue, sync: Redis, name: str) -> None:
    case = CASES[name]
    states, read = [], []
    for enqueue in (rq.enqueue, queue.enqueue):
        sync.flushall()
        case.before(rq)
        enqueued = enqueue(foreign.shout, "a", times=2, job_id="job", **case.options)
        job = await enqueued if asyncio.iscoroutine(enqueued) else enqueued
        assert job.id == "job"
        states.append(state(sync))
        read.append(as_read_by_rq(sync))
    assert states[1] == states[0]
    assert read[1] == read[0]


WHEN = datetime.now(UTC) + timedelta(hours=1, microseconds=1)


@pytest.mark.parametrize(
    "options", [{}, {"at_front": True}, {"ttl": 100}, {"unique": True, "meta": {"a": 1}}]
)
@pytest.mark.parametrize("when", [WHEN, WHEN.astimezone().replace(tzinfo=None)], ids=["aware", "local"])
async def test_a_job_for_later_is_left_as_stock_rq_leaves_it(
    queue: Queue, rq: RQQueue, sync: Redis, when: datetime, options: dict[str, Any]
) -> None:
    rq.enqueue_at(when, foreign.shout, "a", job_id="job", **options)
    stock, stock_read = state(sync), as_read_by_rq(sync)
    sync.flushall()
    await queue.enqueue_at(when, foreign.shout, "a", job_id="job", **options)
    assert state(sync) == stock
    assert as_read_by_rq(sync) == stock_read


@pytest.mark.parametrize("delay", [timedelta(seconds=90), 90, 90.5])
async def test_a_job_is_scheduled_for_so_many_seconds_from_now(
    queue: Queue, sync: Redis, delay: timedelta | float
) -> None:
    await queue.enqueue_in(delay, foreign.shout, "a", job_id="job")
    due = sync.zscore(f"rq:scheduled:{NAME}", "job")
    assert due == pytest.approx(time.time() + 90, abs=2)


async def test_stock_workers_run_what_was_enqueued_in_its_order(queue: Queue, sync: Redis) -> None:
    first = await queue.enqueue(foreign.shout, "a")
    second = await queue.enqueue("foreign.shout", "b" * 2000, times=3)
    third = await queue.enqueue(foreign.describe, meta={"a": 1}, job_timeout=7, at_front=True)
    work(sync)
    ran = [RQJob.fetch(job.id, connection=sync) for job in (third, first, second)]
    assert [job.return_value() for job in ran] == [
        {"id": third.id, "meta": {"a": 1}, "timeout": 7},
        "A",
        "B" * 6000,
    ]
    assert sorted(ran, key=lambda job: str(job.started_at)) == ran


async def test_arguments_that_are_named_like_options_reach_the_function(queue: Queue, rq: RQQueue) -> None:
    job = await queue.enqueue("pkg.mod.f", args=[1], kwargs={"meta": 2, "function": 3}, meta={"a": 1})
    stock = rq.enqueue("pkg.mod.f", args=(1,), kwargs={"meta": 2, "function": 3}, meta={"a": 1})
    found = RQJob.fetch(job.id, connection=rq.connection)
    assert (found.args, found.kwargs, found.meta) == ((1,), {"meta": 2, "function": 3}, {"a": 1})
    assert found.description == stock.description


async def test_long_arguments_are_cut_in_the_description_as_in_rq(queue: Queue, rq: RQQueue) -> None:
    call = ("f", ["a" * 80], b"b"), {"z": "é" * 100, "a": None}
    job = await queue.enqueue(foreign.shout, *call[0], **call[1])
    stock = rq.enqueue(foreign.shout, *call[0], **call[1])
    assert RQJob.fetch(job.id, connection=rq.connection).description == stock.description


async def test_a_job_that_waits_runs_after_those_it_waits_for(queue: Queue, sync: Redis) -> None:
    parent = await queue.enqueue(foreign.shout, "a")
    child = await queue.enqueue(foreign.shout, "b", depends_on=parent)
    assert (await queue.counts()).delayed == 1
    work(sync)
    assert RQJob.fetch(child.id, connection=sync).return_value() == "B"


async def test_a_short_payload_is_kept_as_it_is_and_a_long_one_packed(queue: Queue, sync: Redis) -> None:
    short, long = await queue.enqueue("a.b", "c" * 200), await queue.enqueue("a.b", "c" * 10_000)
    assert sync.hstrlen(f"rq:job:{short.id}", "data") > 200
    assert sync.hstrlen(f"rq:job:{long.id}", "data") < 200


# Retries


async def test_a_count_of_retries_waits_by_the_backoff_of_the_job_or_of_the_queue(redis: AsyncRedis) -> None:
    queue = Queue(NAME, redis, backoff=Backoff(2))
    by_queue = await (await queue.enqueue("a.b", retry=3)).fetch()
    by_job = await queue.enqueue("a.b", retry=2, backoff=Backoff(10))
    at_once = await Queue(NAME, redis).enqueue("a.b", retry=2)
    assert by_queue is not None
    assert by_queue.retries_left == 3
    assert await redis.hget(f"rq:job:{by_queue.id}", "retry_intervals") == b"[2, 4, 8]"
    assert await redis.hget(f"rq:job:{by_job.id}", "retry_intervals") == b"[10, 20]"
    assert await redis.hget(f"rq:job:{at_once.id}", "retry_intervals") == b"[0]"


# Ids


async def test_of_many_unique_jobs_of_one_id_one_is_enqueued(queue: Queue, rq: RQQueue) -> None:
    tries = [queue.enqueue("a.b", number, job_id="one", unique=True) for number in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, DuplicateJobError)]
    assert (len(refused), rq.job_ids) == (19, ["one"])
    assert "one" in str(refused[0])


async def test_a_unique_job_can_wait_for_others(queue: Queue, rq: RQQueue) -> None:
    parent = await queue.enqueue("a.b")
    await queue.enqueue("a.b", job_id="one", unique=True, depends_on=parent)
    with pytest.raises(DuplicateJobError):
        await queue.enqueue_in(60, "a.b", job_id="one", unique=True)
    assert rq.deferred_job_registry.get_job_ids() == ["one"]
    assert rq.scheduled_job_registry.get_job_ids() == []


async def test_a_job_takes_the_place_of_one_with_its_id_and_keeps_nothing_of_it(
    queue: Queue, sync: Redis
) -> None:
    await queue.enqueue(foreign.shout, "a", job_id="one", meta={"a": 1}, result_ttl=60)
    work(sync)
    job = await queue.enqueue(foreign.shout, "b", job_id="one")
    view = await job.fetch()
    assert view is not None
    assert (view.status, view.meta, view.started_at, view.ended_at) == ("queued", {}, None, None)
    assert sync.ttl("rq:job:one") == -1


async def test_ids_of_their_own_differ_and_are_what_rq_takes_for_ids(queue: Queue) -> None:
    jobs = await queue.enqueue_many([queue.prepare("a.b") for _ in range(300)])
    assert len({job.id for job in jobs}) == 300
    assert all(RQJob(job.id, connection=Redis()).id == job.id for job in jobs)


# Batches


async def test_a_batch_is_enqueued_in_order_as_single_jobs_are(
    queue: Queue, rq: RQQueue, sync: Redis
) -> None:
    options = {"meta": {"a": 1}, "ttl": 50, "retry": Retry(max=1)}
    await queue.enqueue("a.b", 1, job_id="job", **options)
    single = state(sync)
    sync.flushall()
    [job] = await queue.enqueue_many([queue.prepare("a.b", 1, job_id="job", **options)])
    assert (job.id, state(sync)) == ("job", single)
    jobs = await queue.enqueue_many(queue.prepare("a.b", number) for number in range(250))
    assert rq.job_ids == ["job", *(job.id for job in jobs)]


async def test_a_batch_of_none_is_nothing(queue: Queue, sync: Redis) -> None:
    assert await queue.enqueue_many([]) == []
    assert sync.keys() == []


async def test_jobs_of_a_batch_may_wait_for_those_before_them(queue: Queue, rq: RQQueue, sync: Redis) -> None:
    first = queue.prepare(foreign.shout, "a")
    _, second = await queue.enqueue_many([first, queue.prepare(foreign.shout, "b", depends_on=first)])
    assert rq.deferred_job_registry.get_job_ids() == [second.id]
    work(sync)
    assert RQJob.fetch(second.id, connection=sync).return_value() == "B"


async def test_a_batch_leaves_out_what_must_be_unique_and_names_it(queue: Queue, rq: RQQueue) -> None:
    await queue.enqueue("a.b", job_id="one")
    batch = [queue.prepare("a.b", job_id=job_id, unique=True) for job_id in ("zero", "one", "two")]
    with pytest.raises(DuplicateJobError, match=r"already: one$"):
        await queue.enqueue_many(batch)
    assert rq.job_ids == ["one", "zero", "two"]


async def test_an_id_that_occurs_twice_and_a_job_of_another_queue_are_refused_before_anything_is_sent(
    queue: Queue, redis: AsyncRedis, sync: Redis
) -> None:
    job = queue.prepare("a.b", job_id="one")
    with pytest.raises(ValueError, match="same id"):
        await queue.enqueue_many([job, job])
    with pytest.raises(ValueError, match="another queue"):
        await Queue("other", redis).enqueue_many([job])
    assert sync.keys() == []


# Serializers


async def test_what_no_asyncworker_could_read_is_refused_by_its_producer(queue: Queue, sync: Redis) -> None:
    for call in ((datetime.now(UTC),), ([{"a": foreign.Unwelcome()}],)):
        with pytest.raises(TypeError, match="no plain value"):
            await queue.enqueue("a.b", *call)
    with pytest.raises(TypeError, match="no plain value"):
        await queue.enqueue("a.b", meta={"a": datetime.now(UTC)})
    with pytest.raises(TypeError, match="no plain value"):
        await queue.enqueue(foreign.Unwelcome().__reduce__)
    assert sync.keys() == []


async def test_stock_workers_get_anything_that_can_be_pickled(redis: AsyncRedis, sync: Redis) -> None:
    queue = Queue(NAME, redis, serializer="pickle")
    job = await queue.enqueue("foreign.shout", foreign.Loud("a"))
    work(sync)
    assert RQJob.fetch(job.id, connection=sync).return_value() == "A"


async def test_json_is_read_by_stock_workers_that_read_json(redis: AsyncRedis, sync: Redis) -> None:
    queue = Queue(NAME, redis, serializer="json")
    job = await queue.enqueue(foreign.shout, "a", times=2, meta={"a": [1]})
    Worker([NAME], connection=sync, serializer="json").work(burst=True, logging_level="ERROR")
    assert RQJob.fetch(job.id, connection=sync, serializer="json").return_value() == "AA"
    view = await job.fetch()
    assert view is not None
    assert (view.result, view.meta) == ("AA", {"a": [1]})


# What is refused


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"job_timeout": 0}, ValueError),
        ({"ttl": 0}, ValueError),
        ({"ttl": -1}, ValueError),
        ({"job_id": "a b"}, ValueError),
        ({"job_id": 7}, TypeError),
        ({"unique": True}, ValueError),
        ({"depends_on": [7]}, TypeError),
        ({"depends_on": 7}, TypeError),
        ({"pipeline": object()}, TypeError),
        ({"args": (1,), "other": 2}, TypeError),
        ({"retry": -1}, ValueError),
        ({"retry": 1.5}, TypeError),
        ({"retry": Retry(max=2), "backoff": Backoff(2)}, TypeError),
        ({"backoff": Backoff(2)}, ValueError),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused_before_anything_is_sent(
    queue: Queue, sync: Redis, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await queue.enqueue("a.b", **options)
    assert sync.keys() == []


@pytest.mark.parametrize("function", [7, foreign.Unwelcome, None])
async def test_what_no_worker_can_call_by_a_name_is_refused(queue: Queue, function: Any) -> None:
    with pytest.raises(TypeError):
        await queue.enqueue(function)


async def test_a_function_of_the_main_module_is_refused(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign.shout, "__module__", "__main__")
    with pytest.raises(ValueError, match="__main__"):
        await queue.enqueue(foreign.shout, "a")
