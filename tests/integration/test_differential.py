"""The same jobs through RQ's worker and through mediaq's leave the same in Redis."""

from functools import partial
from typing import Any

import pytest
import scenarios_alone
import scenarios_meddled
import scenarios_together
from attrs import evolve
from differences import Allowed
from differential_kit import StockWorker, judge, make_stock, run, run_ours, run_stock
from redis_state import Difference, State, compare
from rq.timeouts import JobTimeoutException

SCENARIOS = [*scenarios_alone.SCENARIOS, *scenarios_together.SCENARIOS, *scenarios_meddled.SCENARIOS]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(autouse=True)
def plain_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ's timeouts without signals, which other tests use, leave their text in the exception's class."""
    if "__init__" in vars(JobTimeoutException):
        monkeypatch.delattr(JobTimeoutException, "__init__")


@pytest.mark.parametrize("name", BY_NAME)
def test_mediaqs_worker_leaves_what_rqs_leaves(redis_url: str, name: str) -> None:
    scenario = BY_NAME[name]
    stock, ours = run_stock(redis_url, scenario), run_ours(redis_url, scenario)
    wrong = judge(compare(stock, ours), scenario.allowed)
    assert not wrong, "\n".join(["", *wrong])


def test_no_two_scenarios_share_a_name() -> None:
    assert len(BY_NAME) == len(SCENARIOS)


def test_a_retried_attempt_is_told_of_as_a_failure_is(redis_url: str) -> None:
    """Stock leaves nothing to compare it with; what it leaves of a failure is next to it."""
    failed = run_stock(redis_url, BY_NAME["exception"])
    retried = run_ours(redis_url, BY_NAME["retry after an interval"])
    told = result(retried, "retried 1")
    assert told.pop("type") == "4"
    assert told == {name: value for name, value in result(failed, "failed 1").items() if name != "type"}
    assert retried["rq:results:a", "order"] == ["retried"]


def result(state: State, entry: str) -> dict[str, object]:
    return {path[2]: value for path, value in state.items() if path[:2] == ("rq:results:a", entry)}


# That the comparison sees what it should.


@pytest.mark.parametrize(
    "name",
    ["family of dependents", "retries at once until it fails", "rate limit", "cancelled while running"],
)
def test_the_same_worker_leaves_the_same_twice(redis_url: str, name: str) -> None:
    scenario = BY_NAME[name]
    assert not compare(run_stock(redis_url, scenario), run_stock(redis_url, scenario))


SUCCESS = BY_NAME["success"]
JOB, REGISTRY, RESULTS, WORKER = "rq:job:a", "rq:finished:first", "rq:results:a", "rq:worker:worker-1"


def run_by(kind: type[StockWorker], url: str) -> State:
    return run(url, SUCCESS, partial(make_stock, kind=kind))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (REGISTRY, ("DEL", REGISTRY)),
        ("surplus", ("SADD", "surplus", "x")),
        (f"{REGISTRY} / type", ("SET", REGISTRY, "x")),
        (f"{REGISTRY} / a", ("ZADD", REGISTRY, "+inf", "a")),
        (f"{REGISTRY} / a", ("ZINCRBY", REGISTRY, 5, "a")),
        (f"{REGISTRY} / b", ("ZADD", REGISTRY, -1, "b")),
        (f"{REGISTRY} / expires", ("EXPIRE", REGISTRY, 500)),
        (f"{JOB} / expires", ("EXPIRE", JOB, 501)),
        (f"{JOB} / expires", ("PERSIST", JOB)),
        (f"{RESULTS} / expires", ("EXPIRE", RESULTS, 499)),
        (f"{JOB} / status", ("HSET", JOB, "status", "failed")),
        (f"{JOB} / status", ("HDEL", JOB, "status")),
        (f"{JOB} / started_at", ("HSET", JOB, "started_at", "")),
        (f"{JOB} / created_at", ("HSET", JOB, "created_at", "2100-01-01T00:00:00.000000Z")),
        (f"{JOB} / ended_at", ("HSET", JOB, "ended_at", "2026-01-01T00:00:00Z")),
        (f"{JOB} / data", ("HSET", JOB, "data", b"\x80\x05N.")),
        (f"{JOB} / meta", ("HSET", JOB, "meta", b"\x80\x05N.")),
        (f"{WORKER} / state", ("HSET", WORKER, "state", "busy")),
        (f"{WORKER} / total_working_time", ("HINCRBYFLOAT", WORKER, "total_working_time", 0.6)),
        ("rq:queues / rq:queue:b", ("SADD", "rq:queues", "rq:queue:b")),
        ("rq:queue:first", ("RPUSH", "rq:queue:first", "a")),
        ("rq:wip:first", ("ZADD", "rq:wip:first", 1, "a:execution")),
    ],
)
def test_the_comparison_sees_what_was_changed(
    redis_url: str, name: str, command: tuple[str | bytes | int | float, ...]
) -> None:
    class Changing(StockWorker):
        def teardown(self) -> None:
            super().teardown()  # type: ignore[no-untyped-call]
            self.connection.execute_command(*command)  # type: ignore[no-untyped-call]

    found = compare(run_stock(redis_url, SUCCESS), run_by(Changing, redis_url))
    assert name in [each.name for each in found]
    # A key of another type has other places, too.
    assert len(found) == 1 or name.endswith("/ type")


def test_an_execution_that_a_worker_holds_at_its_end_is_seen(redis_url: str) -> None:
    class Holding(StockWorker):
        def cleanup_execution(self, *_: Any, **__: Any) -> None:
            pass

    found = compare(run_stock(redis_url, SUCCESS), run_by(Holding, redis_url))
    assert {each.name for each in found} == {
        *("executions at the end", "rq:wip:first", "rq:executions:a", "rq:execution:a:<execution>")
    }


def test_what_is_meant_has_to_be_there() -> None:
    meant = Allowed("because", "key / field", ours="b")
    difference = Difference(("key", "field"), "a", "b")
    assert judge([difference], [meant]) == []
    assert judge([], [meant]) == ["not there, though meant: key / field: because"]
    assert len(judge([evolve(difference, ours="c")], [meant])) == 2
    assert len(judge([difference, evolve(difference, path=("key", "other"))], [meant])) == 1
