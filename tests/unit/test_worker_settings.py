"""The configured worker: it works as the settings say, and reads them only if it is made to work."""

import os
from pathlib import Path

import attrs
import pytest
from fakeredis import FakeRedis
from rq import Queue

from mediaq.errors import SettingsError
from mediaq.queue.options import Options
from mediaq.settings import SHARED_NAMES, load_settings
from mediaq.worker import AsyncWorker, read_options


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("MEDIAQ_") or name in SHARED_NAMES:
            monkeypatch.delenv(name)


def test_without_settings_a_worker_runs_mediaqs_own_tasks_as_it_would_anyway() -> None:
    """Where nothing is said, the settings and the worker itself agree."""
    options = read_options(load_settings())
    assert attrs.evolve(options, functions=(), concurrency={}, keep_finished={}) == Options()
    assert options.functions == ("mediaq.tasks.*",)
    assert options.concurrency == {
        "image-processing": 3,
        "video-processing": 2,
        "text-analysis": 5,
        "embedding-generation": 10,
    }
    assert options.keep_finished == {
        "image-processing": 100,
        "video-processing": 50,
        "text-analysis": 200,
        "embedding-generation": 500,
    }


def test_each_option_has_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "MEDIAQ_WORKER__FUNCTIONS": '["shop.tasks.*"]',
        "MEDIAQ_CONCURRENCY": "text-analysis=50,shop=7",
        "MEDIAQ_WORKER__DEFAULT_CONCURRENCY": "4",
        "MEDIAQ_WORKER__PARKED": "5",
        "MEDIAQ_WORKER__GRACE": "6",
        "MEDIAQ_WORKER__DEAD_AFTER": "30",
        "MEDIAQ_WORKER__BEAT": "7.5",
        "MEDIAQ_WORKER__DEATHS": "8",
        "MEDIAQ_WORKER__WEBHOOK_HOSTS": '["hooks.example"]',
        "MEDIAQ_WORKER__LAG": "0.25",
        "MEDIAQ_QUEUES__TEXT_ANALYSIS__KEEP_COMPLETED_COUNT": "9",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    options = AsyncWorker([Queue("shop", connection=FakeRedis())], connection=FakeRedis()).options
    assert options.concurrency["text-analysis"] == 50
    assert options.concurrency["shop"] == 7
    assert options.keep_finished["text-analysis"] == 9
    assert attrs.evolve(options, concurrency={}, keep_finished={}) == Options(
        functions=("shop.tasks.*",),
        default_concurrency=4,
        parked=5,
        grace=6,
        lease=30,
        beat=7.5,
        deaths=8,
        webhook_hosts=("hooks.example",),
        lag=0.25,
    )


def test_a_bad_setting_stops_a_worker_that_is_made_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAQ_WORKER__GRACE", "soon")
    with pytest.raises(SettingsError, match="MEDIAQ_WORKER__GRACE"):
        AsyncWorker(["shop"], connection=FakeRedis())
    monkeypatch.delenv("MEDIAQ_WORKER__GRACE")
    monkeypatch.setenv("MEDIAQ_WORKER__FUNCTIONS", '["*"]')
    with pytest.raises(SettingsError, match=r"worker\.functions: '\*' allows no function"):
        AsyncWorker(["shop"], connection=FakeRedis())


def test_a_worker_that_others_are_looked_at_through_reads_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis = FakeRedis()
    worker = AsyncWorker(["shop"], name="shopper", connection=redis)
    worker.register_birth()  # type: ignore[no-untyped-call]
    monkeypatch.setenv("MEDIAQ_WORKER__GRACE", "soon")
    [found] = AsyncWorker.all(connection=redis)
    assert found.name == "shopper"
    assert [queue.name for queue in found.queues] == ["shop"]


def test_options_that_are_given_take_the_place_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAQ_WORKER__GRACE", "soon")
    given = Options(functions=("shop.tasks.*",))
    assert AsyncWorker(["shop"], connection=FakeRedis(), options=given).options is given
