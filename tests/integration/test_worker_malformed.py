"""Jobs as nobody's tool writes them: each fails with a reason or is let go, and none holds up another."""

import json
import pickle
import zlib
from typing import Any

import chores
import pytest
from redis import Redis
from rq import Queue
from worker_kit import NAME, at_work, burst, ended, enqueue_many, make_worker, slots, status_of, until

pytest_plugins = ["queue_fixtures", "worker_fixtures"]

DATA = pickle.dumps(("chores.note", None, ("spoilt",), {}))


def write(redis: Redis, job_id: str, fields: dict[str, Any]) -> None:
    """Writes a job and queues it, between two that are sound."""
    mapping: dict[Any, Any] = {"origin": NAME, "status": "queued", **fields}
    redis.hset(f"rq:job:{job_id}", mapping=mapping)
    redis.rpush(f"rq:queue:{NAME}", job_id)


def status(redis: Redis, job_id: str) -> str | None:
    found: Any = redis.hget(f"rq:job:{job_id}", "status")
    return None if found is None else found.decode()


def run_between_sound_ones(sync: Redis, stock: Queue, fields: dict[str, Any], job_id: str = "spoilt") -> None:
    """Has a worker run a job with these fields and two sound ones; these must come out finished."""
    before = stock.enqueue("chores.note", "before")
    write(sync, job_id, fields)
    after = stock.enqueue("chores.note", "after")
    burst(sync, given=slots(1))
    assert (status_of(before), status_of(after)) == ("finished", "finished")
    assert (stock.count, stock.started_job_registry.count, sync.zcard("mediaq:leases")) == (0, 0, 0)


UNREADABLE = {
    "no pickle": b"nonsense",
    "empty": b"",
    "cut short": DATA[:-4],
    "cut short inside of zlib": zlib.compress(DATA)[:-6],
    "not four values": pickle.dumps(("chores.note", None, ())),
    "no call": pickle.dumps(42),
    "no name": pickle.dumps((42, None, (), {})),
    "an object's method": pickle.dumps(("chores.note", "text", (), {})),
    "keywords that are none": pickle.dumps(("chores.note", None, (), {1: 2})),
    "no arguments": pickle.dumps(("chores.note", None, 5, {})),
    "a bomb of zlib": zlib.compress(b"\0" * 80 * 2**20),
    "a pickle of halves of characters": pickle.dumps(("\ud800", None, (), {})),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_data_that_is_no_call_fails_with_a_reason(sync: Redis, stock: Queue, what: str) -> None:
    run_between_sound_ones(sync, stock, {"data": UNREADABLE[what]})
    assert status(sync, "spoilt") == "failed"
    results: Any = sync.xrange("rq:results:spoilt")
    assert results[-1][1][b"exc_string"]
    assert chores.noted == ["before", "after"]


ODD: dict[str, dict[str, Any]] = {
    "dates": dict.fromkeys(("created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"), "soon"),
    "numbers": dict.fromkeys(
        ("timeout", "result_ttl", "failure_ttl", "ttl", "retries_left", "number_of_retries", "repeats_left"),
        "x",
    ),
    "huge numbers": dict.fromkeys(("timeout", "result_ttl", "failure_ttl", "ttl"), "9" * 40),
    "hugely negative numbers": dict.fromkeys(("timeout", "result_ttl", "failure_ttl", "ttl"), "-" + "9" * 40),
    "infinite numbers": dict.fromkeys(("timeout", "result_ttl", "ttl", "retries_left"), "inf"),
    "no numbers": dict.fromkeys(("timeout", "result_ttl", "ttl", "retries_left"), "nan"),
    "fractions": dict.fromkeys(("timeout", "result_ttl", "failure_ttl", "ttl", "retries_left"), "1.5"),
    "bytes": dict.fromkeys(
        ("origin", "description", "worker_name", "group_id", "timeout", "ttl"), b"\xff\xfe"
    ),
    "status": {"status": b"\xff"},
    "unknown status": {"status": "confused"},
    "meta": {"meta": b"no pickle"},
    "lists": {"retry_intervals": "{", "repeat_intervals": "{", "dependency_ids": "{"},
    "lists of the wrong kind": {
        "retry_intervals": '{"a": 1}',
        "repeat_intervals": "5",
        "dependency_ids": "5",
    },
    "lists of text": {"retry_intervals": '["a"]', "repeat_intervals": '["a"]', "repeats_left": "1"},
    "webhooks": {"webhooks": "{"},
    "counters of ours": {"mediaq_deaths": "x", "mediaq_interruptions": "x"},
    "rate limit": {"rate_limit_key": "k", "rate_limit_concurrency": "x"},
    "callback timeouts": dict.fromkeys(("success_callback_timeout", "failure_callback_timeout"), "x"),
    "many fields": {f"field {number}": "x" for number in range(5000)},
    "a huge description": {"description": "x" * 2**22},
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("function", ["chores.note", "chores.look", "chores.fail"])
def test_odd_fields_stall_nothing(sync: Redis, stock: Queue, what: str, function: str) -> None:
    data = pickle.dumps((function, None, ("spoilt",), {}))
    run_between_sound_ones(sync, stock, {"data": data, **ODD[what]})
    assert status(sync, "spoilt") in ("finished", "failed", "scheduled", "queued", None)


def test_a_number_beyond_measure_is_as_much_as_redis_takes(sync: Redis, stock: Queue) -> None:
    run_between_sound_ones(sync, stock, {"data": DATA, "result_ttl": "9" * 40, "timeout": "9" * 40})
    assert status(sync, "spoilt") == "finished"
    assert sync.ttl("rq:job:spoilt") > 10**9


def test_a_job_without_data_is_let_go(sync: Redis, stock: Queue) -> None:
    run_between_sound_ones(sync, stock, {"description": "nothing to call"})


def test_an_id_without_a_job_is_let_go(sync: Redis, stock: Queue) -> None:
    sync.rpush(stock.key, "nobody", "nobody", "")
    run_between_sound_ones(sync, stock, {"data": DATA})
    assert chores.noted == ["before", "spoilt", "after"]


def test_many_ids_without_jobs_hide_none_behind_them(sync: Redis, stock: Queue) -> None:
    sync.rpush(stock.key, *(f"nobody-{number}" for number in range(3500)))
    run_between_sound_ones(sync, stock, {"data": DATA})


@pytest.mark.parametrize("job_id", ["a:b", "a b", "*", b"\xff\xfe", "{}", "a\nb", "x" * 5000])
def test_an_id_that_no_tool_of_rqs_takes_stalls_nothing(sync: Redis, stock: Queue, job_id: Any) -> None:
    prefix = b"rq:job:" + (job_id if isinstance(job_id, bytes) else job_id.encode())
    sync.hset(prefix, mapping={"origin": NAME, "status": "queued", "data": DATA})
    before = stock.enqueue("chores.hold", "before")
    sync.rpush(stock.key, job_id)
    after = stock.enqueue("chores.note", "after")
    with at_work(make_worker(sync)):
        assert ended(after) == "finished"
        chores.release()
        assert ended(before) == "finished"
        until(lambda: stock.started_job_registry.count == 0)
    assert (stock.count, sync.zcard("mediaq:leases")) == (0, 0)


@pytest.mark.parametrize("key", ["rq:job:{}", "rq:executions:{}"])
def test_a_key_of_the_wrong_type_loses_no_other_job(sync: Redis, stock: Queue, key: str) -> None:
    before = enqueue_many(stock, "chores.note", 3)
    spoilt = stock.enqueue("chores.note", "spoilt")
    after = enqueue_many(stock, "chores.note", 3)
    sync.delete(key.format(spoilt.id))
    sync.set(key.format(spoilt.id), "text")
    burst(sync)
    assert {status_of(job) for job in before + after} == {"finished"}
    assert (stock.count, stock.started_job_registry.count, sync.zcard("mediaq:leases")) == (0, 0, 0)


@pytest.mark.parametrize("key", ["rq:results:{}", "rq:job:{}:dependents", "rq:job::{}:dependencies"])
def test_a_key_of_the_wrong_type_holds_up_no_other_end(sync: Redis, stock: Queue, key: str) -> None:
    jobs = enqueue_many(stock, "chores.hold", 5)
    sync.set(key.format(jobs[2].id), "text")
    with at_work(make_worker(sync)):
        until(lambda: chores.room.inside == 5)
        chores.release()
        for job in jobs[:2] + jobs[3:]:
            assert ended(job) == "finished"
        until(lambda: stock.started_job_registry.count == 0)
        assert ended(stock.enqueue("chores.note", "next")) == "finished"
        assert ended(jobs[2]) in ("finished", "failed")


def test_json_that_is_no_call_fails_with_a_reason(sync: Redis, stock: Queue) -> None:
    write(sync, "spoilt", {"data": b'{"function": "chores.note"}'})
    write(sync, "sound", {"data": json.dumps(["chores.note", None, ["sound"], {}]).encode()})
    burst(sync, serializer="json")
    assert (status(sync, "spoilt"), status(sync, "sound")) == ("failed", "finished")
    assert chores.noted == ["sound"]
