"""Whoever can write to Redis chooses from what the worker allows, and no more."""

import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import chores
import foreign
import pytest
from redis import Redis
from rq import Callback, Queue, Retry
from rq.registry import FailedJobRegistry
from rq.webhook import Webhook
from worker_kit import NAME, at_work, burst, ended, error_of, make_worker, options, outcomes, status_of

pytest_plugins = ["queue_fixtures", "worker_fixtures"]

UNWELCOME = "unwelcome_module"


@pytest.fixture(autouse=True)
def unwelcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that could be imported, and should not be."""
    (tmp_path / f"{UNWELCOME}.py").write_text("def act(*_):\n    return 'acted'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    imported = sys.modules.pop(UNWELCOME, None)
    assert imported is None, "what is refused is not imported"


def refused(sync: Redis, stock: Queue, **call: Any) -> str:
    """Has a worker refuse a job; why it did."""
    job = stock.enqueue(**call)
    burst(sync)
    assert (status_of(job), outcomes(sync)) == ("failed", {"refused": 1})
    assert FailedJobRegistry(queue=stock).get_job_ids() == [job.id]
    return error_of(job)


@pytest.mark.parametrize(
    "function", [f"{UNWELCOME}.act", "os.system", "builtins.eval", "chores.asyncio.run", "chores._private"]
)
def test_a_function_that_is_not_allowed_is_refused(sync: Redis, stock: Queue, function: str) -> None:
    why = refused(sync, stock, f=function, args=("id",))
    assert function in why
    assert "allowed functions" in why


@pytest.mark.parametrize("which", ["on_success", "on_failure", "on_stopped"])
@pytest.mark.parametrize("function", ["chores.note", "chores.fail"])
def test_a_callback_that_is_not_allowed_is_refused_before_the_job_runs(
    sync: Redis, stock: Queue, which: str, function: str
) -> None:
    callback = Callback(f"{UNWELCOME}.act")
    assert UNWELCOME in refused(sync, stock, f=function, args=("spoilt",), **{which: callback})
    assert chores.noted == []


def test_what_is_refused_is_not_tried_again_and_calls_nobody(sync: Redis, stock: Queue) -> None:
    refused(
        sync,
        stock,
        f=f"{UNWELCOME}.act",
        retry=Retry(max=5),
        on_failure=Callback("chores.on_failure"),
    )
    assert (stock.count, chores.noted) == (0, [])


def test_nothing_runs_where_nothing_is_allowed(sync: Redis, stock: Queue) -> None:
    job = stock.enqueue("chores.note", 1)
    burst(sync, given=options(functions=()))
    assert (status_of(job), chores.noted) == ("failed", [])


def test_a_pickle_that_names_a_class_resolves_nothing(sync: Redis, stock: Queue) -> None:
    foreign.resolved.clear()
    why = refused(sync, stock, f="chores.note", args=(foreign.Unwelcome(),))
    assert "foreign" in why
    assert (foreign.resolved, chores.noted) == ([], [])


def test_meta_that_names_a_class_resolves_nothing(sync: Redis, stock: Queue) -> None:
    foreign.resolved.clear()
    job = stock.enqueue("chores.look", 1)
    sync.hset(job.key, "meta", pickle.dumps({"a": foreign.Unwelcome()}))
    burst(sync)
    assert status_of(job) == "finished"
    assert foreign.resolved == []


def test_a_pickle_serializer_asked_for_by_name_resolves_nothing_either(sync: Redis, stock: Queue) -> None:
    foreign.resolved.clear()
    job = stock.enqueue("chores.note", foreign.Unwelcome())
    for serializer in ("pickle", "rq.serializers.DefaultSerializer", "rq.serializers.PickleSerializer"):
        burst(sync, serializer=serializer)
        assert status_of(job) == "failed"
        job.requeue()
    assert foreign.resolved == []


def test_json_is_no_way_around_the_allowed_functions(sync: Redis) -> None:
    stock = Queue(NAME, connection=sync, serializer="json")
    job = stock.enqueue(f"{UNWELCOME}.act", 1)
    burst(sync, serializer="json")
    assert status_of(job) == "failed"


# Webhooks.


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Serves HTTP while the block runs: its address, and the paths it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            slow = "slow" in self.path
            if slow:
                threading.Event().wait(0.7)
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def enqueue_with_webhooks(stock: Queue, function: str, *urls: str) -> None:
    hooks = [Webhook(url, status, method="POST") for url in urls for status in ("finished", "failed")]
    stock.enqueue(function, "word", webhooks=hooks)


def test_a_webhook_goes_to_allowed_hosts_only(sync: Redis, stock: Queue) -> None:
    with listening() as (here, asked):
        elsewhere = here.replace("127.0.0.1", "localhost")
        enqueue_with_webhooks(stock, "chores.note", f"{elsewhere}/no", f"{here}/yes")
        enqueue_with_webhooks(stock, "chores.fail", f"{elsewhere}/no", f"{here}/failed")
        burst(sync, given=options(webhook_hosts=("127.0.0.1",)))
    assert sorted(asked) == ["/failed", "/yes"]


def test_no_webhook_is_sent_by_default(sync: Redis, stock: Queue) -> None:
    with listening() as (here, asked):
        enqueue_with_webhooks(stock, "chores.note", f"{here}/no")
        burst(sync)
    assert asked == []


def test_a_worker_that_ends_sends_its_last_webhooks(sync: Redis, stock: Queue) -> None:
    with listening() as (here, asked):
        enqueue_with_webhooks(stock, "chores.note", f"{here}/slow")
        burst(sync, given=options(webhook_hosts=("127.0.0.1",)))
        assert asked == ["/slow"]


def test_webhooks_hold_up_no_job(sync: Redis, stock: Queue) -> None:
    with listening() as (here, asked):
        enqueue_with_webhooks(stock, "chores.note", f"{here}/slow")
        with at_work(make_worker(sync, given=options(webhook_hosts=("127.0.0.1",), default_concurrency=1))):
            assert ended(stock.enqueue("chores.note", 2), seconds=0.6) == "finished"
            assert asked == []
