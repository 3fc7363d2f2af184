"""Settings: defaults, a file, variables that tools share, mediaq's own variables; bad ones are named."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mediaq.errors import SettingsError
from mediaq.fields import mask, parse_rates
from mediaq.settings import SHARED_NAMES, Queue, Settings, load_settings, shown

CONFIG = Path(__file__).parents[2] / "config.toml"
File = Callable[[str], Path]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("MEDIAQ_") or name in SHARED_NAMES:
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Writes a settings file."""

    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


def leaves(tables: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", json.dumps(value) if isinstance(value, list | bool) else str(value)


def test_nothing_has_to_be_set() -> None:
    assert load_settings() == Settings()


def test_config_toml_shows_every_setting_with_its_default() -> None:
    in_file = dict(leaves(tomllib.loads(CONFIG.read_text())))
    assert in_file == {key: value for key, value, _ in shown(Settings())}
    assert load_settings(CONFIG) == Settings()


def test_config_toml_explains_every_key_in_the_words_of_the_settings() -> None:
    commented = re.findall(r"^# (.+)\n\w+ = ", CONFIG.read_text(), re.MULTILINE)
    assert sorted(commented) == sorted(text for _, _, text in shown(Settings()))


@pytest.mark.parametrize(
    ("name", "attempts", "backoff", "timeout", "keep_completed_count", "concurrency"),
    [
        ("image-processing", 3, 2.0, 300, 100, 3),
        ("video-processing", 3, 5.0, 4 * 3600, 50, 2),
        ("text-analysis", 3, 1.0, 300, 200, 5),
        ("embedding-generation", 5, 3.0, 300, 500, 10),
    ],
)
def test_each_queue_has_defaults_of_its_own(
    name: str, attempts: int, backoff: float, timeout: int, keep_completed_count: int, concurrency: int
) -> None:
    queue: Queue = Settings().queues.named(name)
    assert (queue.attempts, queue.backoff, queue.timeout) == (attempts, backoff, timeout)
    assert Settings().concurrency()[name] == queue.concurrency == concurrency
    assert (queue.keep_completed, queue.keep_completed_count, queue.keep_failed) == (
        3600,
        keep_completed_count,
        86400,
    )
    assert queue.jitter == 0


@pytest.mark.parametrize(
    ("shared", "own", "option"),
    [
        ("REDIS_URL", "MEDIAQ_REDIS__URL", "redis.url"),
        ("RQ_REDIS_URL", "MEDIAQ_REDIS__URL", "redis.url"),
        ("DATABASE_URL", "MEDIAQ_DATABASE__URL", "database.url"),
        ("AWS_REGION", "MEDIAQ_AWS__REGION", "aws.region"),
    ],
)
def test_the_file_gives_way_to_shared_variables_and_they_to_mediaqs_own(
    file: File, monkeypatch: pytest.MonkeyPatch, shared: str, own: str, option: str
) -> None:
    table, key = option.split(".")
    path = file(f'[{table}]\n{key} = "file"')

    def found() -> str:
        return str(getattr(getattr(load_settings(path), table), key))

    assert found() == "file"
    monkeypatch.setenv(shared, "shared")
    assert found() == "shared"
    monkeypatch.setenv(own, "own")
    assert found() == "own"


def test_an_empty_shared_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    assert load_settings() == Settings()


def test_mediaq_uses_the_redis_that_rqs_own_tools_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ's command line prefers RQ_REDIS_URL to REDIS_URL."""
    monkeypatch.setenv("RQ_REDIS_URL", "redis://first")
    monkeypatch.setenv("REDIS_URL", "redis://second")
    assert load_settings().redis.url == "redis://first"


def test_concurrency_is_said_by_the_queues_table_or_before_it_for_any_queue_at_once(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(
        "[queues.text-analysis]\nconcurrency = 6\n[queues.image-processing]\nconcurrency = 4\n"
        '[worker]\nconcurrency = "text-analysis=7"'
    )
    own = {"video-processing": 2, "embedding-generation": 10}
    assert load_settings(path).concurrency() == own | {"image-processing": 4, "text-analysis": 7}
    monkeypatch.setenv("MEDIAQ_CONCURRENCY", " image-processing = 8, other=10,a=b=1")
    found = load_settings(path).concurrency()
    assert found == own | {"image-processing": 8, "text-analysis": 6, "other": 10, "a=b": 1}
    monkeypatch.setenv("MEDIAQ_WORKER__CONCURRENCY", "other=1")
    assert load_settings(path).concurrency()["other"] == 1


def test_budgets_are_said_for_all_and_by_name(file: File) -> None:
    """Amounts are exact; 0 is no limit, also for one among others."""
    path = file('[budgets]\nuser = 0.1\nusers = "a=b=2.50, ann = 0"\ncost_centers = "lab=7"')
    budgets = load_settings(path).budgets
    assert [budgets.of_user(name) for name in ("bob", "a=b", "ann")] == [Decimal("0.1"), Decimal("2.5"), None]
    assert [budgets.of_cost_center(name) for name in ("web", "lab", None)] == [None, Decimal(7), None]


def test_rates_are_said_by_operation(file: File) -> None:
    path = file('[limits]\nrates = "rekognition.DetectLabels = 5, comprehend.DetectSentiment=0.5"')
    found = parse_rates(load_settings(path).limits.rates)
    assert found == {"rekognition.DetectLabels": 5, "comprehend.DetectSentiment": 0.5}
    assert parse_rates("") == {}


def test_a_list_is_written_as_json_in_the_environment_and_shown_so(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file('[worker]\nfunctions = ["a.b.*"]')
    assert load_settings(path).worker.functions == ("a.b.*",)
    monkeypatch.setenv("MEDIAQ_WORKER__FUNCTIONS", '["pkg.mod.*", "other.run"]')
    settings = load_settings(path)
    assert settings.worker.functions == ("pkg.mod.*", "other.run")
    assert ("worker.functions", '["pkg.mod.*", "other.run"]') in {entry[:2] for entry in shown(settings)}
    monkeypatch.setenv("MEDIAQ_WORKER__FUNCTIONS", "[]")
    assert load_settings(path).worker.functions == ()


def test_one_key_of_a_queue_is_overridden_and_the_others_keep_that_queues_defaults(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIAQ_QUEUES__VIDEO_PROCESSING__ATTEMPTS", "7")
    video = load_settings(file("[queues.video-processing]\njitter = 0.5")).queues.named("video-processing")
    assert (video.attempts, video.jitter, video.timeout, video.keep_completed_count) == (7, 0.5, 14400, 50)


def test_the_file_is_config_toml_in_the_folder_or_what_mediaq_config_names(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("config.toml").write_text("[service]\nport = 1")
    assert load_settings().service.port == 1
    monkeypatch.setenv("MEDIAQ_CONFIG", str(file("[service]\nport = 2")))
    assert load_settings().service.port == 2


def test_variables_that_are_not_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAQ_API_URL", "http://127.0.0.1")
    monkeypatch.setenv("MEDIAQ_TOKEN", "token")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('[service]\nport = "many"', "service.port", "invalid literal for int"),
        ("[service]\nport = 1.5", "service.port", "a whole number is wanted"),
        ("[service]\nport = true", "service.port", "a number is wanted"),
        ("[service]\nport = [80]", "service.port", "not 'list'"),
        ("[service]\nport = 65536", "service.port", "must be at least 0 and at most 65535"),
        ("[queues.text-analysis]\nattempts = 0", "queues.text_analysis.attempts", "must be at least 1"),
        ("[queues.text-analysis]\njitter = 1.1", "queues.text_analysis.jitter", "at most 1"),
        ("[redis]\ntimeout = 0", "redis.timeout", "must be at least 0.001"),
        ("[redis]\ntimeout = inf", "redis.timeout", "a finite number is wanted"),
        ("[redis]\ntimeout = nan", "redis.timeout", "a finite number is wanted"),
        ("[service]\nhost = 127", "service.host", "a text is wanted"),
        ("[auth]\nsecret = 5", "auth.secret", "a text is wanted"),
        ('[auth]\ns3_key_prefix = "users/{user}/"', "auth.s3_key_prefix", "is the only field"),
        ('[auth]\ns3_key_prefix = "users/{userId!r}/"', "auth.s3_key_prefix", "is the only field"),
        ('[auth]\ns3_key_prefix = "users/{{userId}}/"', "auth.s3_key_prefix", "is the only field"),
        ('[auth]\ns3_key_prefix = "users/{userId}"', "auth.s3_key_prefix", "must end with a slash"),
        ('[auth]\ns3_key_prefix = "/users/"', "auth.s3_key_prefix", "no part between slashes may"),
        (
            '[auth]\ns3_key_prefix = "users//{userId}/"',
            "auth.s3_key_prefix",
            "no part between slashes may",
        ),
        (
            '[auth]\ns3_key_prefix = "users/../{userId}/"',
            "auth.s3_key_prefix",
            "no part between slashes may",
        ),
        ('[auth]\ns3_key_prefix = "/"', "auth.s3_key_prefix", "no part between slashes may"),
        ('[auth]\njwks_url = "keys.json"', "auth.jwks_url", "a URL that begins with https"),
        ('[auth]\njwks_url = "file:///etc/passwd"', "auth.jwks_url", "a URL that begins with https"),
        ('[auth]\njwks_url = "https://"', "auth.jwks_url", "a URL that begins with https"),
        ('[auth]\nsecret = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"', "auth.secret", "at least 32 bytes"),
        ('[logs]\nlevel = "LOUD"', "logs.level", "not in literals ('TRACE', 'DEBUG'"),
        ('[embedding]\nprovider = "acme"', "embedding.provider", "not in literals ('bedrock', 'openai')"),
        ('[worker]\nfunctions = "a.b"', "worker.functions", "a list of texts is wanted, as in ["),
        ("[worker]\nfunctions = [1]", "worker.functions", "a list of texts is wanted, as in ["),
        ("[worker]\nconcurrency = 5", "worker.concurrency", "a text is wanted"),
        ('[worker]\nconcurrency = "a"', "worker.concurrency", "'a' is not of the form QUEUE=JOBS"),
        ("[queues.text-analysis]\nconcurrency = 0", "queues.text_analysis.concurrency", "at least 1"),
        ("[budgets]\nuser = -1", "budgets.user", "must be at least 0 and at most 1e+09"),
        ("[budgets]\ncost_center = nan", "budgets.cost_center", "a finite number is wanted"),
        ("[budgets]\nusers = 5", "budgets.users", "a text is wanted"),
        ('[budgets]\nusers = "ann"', "budgets.users", "'ann' is not of the form NAME=DOLLARS"),
        ('[budgets]\nusers = "ann=1,ann=2"', "budgets.users", "'ann' is named twice"),
        ('[budgets]\ncost_centers = "lab=much"', "budgets.cost_centers", "could not convert string to float"),
        ('[budgets]\ncost_centers = "lab=-1"', "budgets.cost_centers", "must be at least 0"),
        ("[budgets]\nvideo_seconds = 1e9", "budgets.video_seconds", "at most 86400"),
        ('[webhooks]\nhosts = ["Example.com"]', "webhooks.hosts", "'Example.com' is no host: names in small"),
        ('[webhooks]\nhosts = ["https://a.com"]', "webhooks.hosts", "'https://a.com' is no host"),
        ('[webhooks]\nhosts = ["*"]', "webhooks.hosts", "'*' is no host"),
        ('[webhooks]\nhosts = ["a.*.com"]', "webhooks.hosts", "'a.*.com' is no host"),
        ('[webhooks]\nhosts = ["a.com:443"]', "webhooks.hosts", "'a.com:443' is no host"),
        ('[webhooks]\nhosts = "a.com"', "webhooks.hosts", "a list of texts is wanted"),
        ('[webhooks]\nsecret = "word"', "webhooks.secret", "must be whsec_ and 24 to 64 bytes in Base64"),
        ('[webhooks]\nsecret = "whsec_AAAA"', "webhooks.secret", "must be whsec_ and 24 to 64 bytes"),
        ('[webhooks]\nsecret = "whsec_-"', "webhooks.secret", "must be whsec_ and 24 to 64 bytes"),
        ("[service]\nrequests = -1", "service.requests", "must be at least 0"),
        ("[service]\nopen_jobs = 1.5", "service.open_jobs", "a whole number is wanted"),
        ("[service]\nprot = 80", "service.prot", "Invalid options"),
        ("[servcie]\nport = 80", "servcie.port", "Invalid options"),
        ("[queues.audio]\nattempts = 1", "queues.audio.attempts", "Invalid options"),
        ("service = 80", "service", "Invalid options"),
        ("[service\nport = 80", "", "Expected ']'"),
        ("[service]\nport = 1\nport = 2", "", "Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_file_key_and_reason(
    file: File, text: str, key: str, reason: str
) -> None:
    path = file(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    assert all(part in str(refused.value) for part in (str(path), key, reason)), refused.value


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MEDIAQ_SERVICE__PORT", "many", "service.port"),
        ("MEDIAQ_SERVICE__PORT", "65536", "must be at least 0 and at most 65535"),
        ("MEDIAQ_SERVICE__PORT", "", "invalid literal for int"),
        ("MEDIAQ_REDIS__TIMEOUT", "inf", "a finite number is wanted"),
        ("MEDIAQ_LOGS__FORMAT", "xml", "not in literals ('auto', 'human', 'json')"),
        ("MEDIAQ_QUEUES__TEXT_ANALYSIS__ATTEMPTS", "0", "must be at least 1"),
        ("MEDIAQ_WORKER__FUNCTIONS", "pkg.mod.*", "a list of texts is wanted, as in ["),
        ("MEDIAQ_WORKER__FUNCTIONS", '"pkg.mod.*"', "a list of texts is wanted, as in ["),
        ("MEDIAQ_WORKER__FUNCTIONS", '{"a.b": 1}', "a list of texts is wanted, as in ["),
        ("MEDIAQ_WORKER__WEBHOOK_HOSTS", "[1]", "a list of texts is wanted, as in ["),
        (
            "MEDIAQ_CONCURRENCY",
            "text-analysis",
            "'text-analysis' is not of the form QUEUE=JOBS, with 1 or",
        ),
        ("MEDIAQ_CONCURRENCY", "text-analysis=many", "'text-analysis=many' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "text-analysis=0", "'text-analysis=0' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "text-analysis=-1", "'text-analysis=-1' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "text-analysis=1.5", "'text-analysis=1.5' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "=3", "'=3' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "a=1,", "'' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_CONCURRENCY", "a=1,b=2, a=3", "'a' is named twice"),
        ("MEDIAQ_WORKER__CONCURRENCY", "a=x", "'a=x' is not of the form QUEUE=JOBS"),
        ("MEDIAQ_LIMITS__RATES", "rekognition.DetectLables=5", "no operation 'rekognition.DetectLables'"),
        ("MEDIAQ_LIMITS__RATES", "rekognition.DetectLabels", "is not of the form OPERATION=CALLS"),
        ("MEDIAQ_LIMITS__RATES", "rekognition.DetectLabels=0", "must be at least 0.01"),
        ("MEDIAQ_LIMITS__RATES", "rekognition.DetectLabels=fast", "could not convert string to float"),
        (
            "MEDIAQ_LIMITS__RATES",
            "rekognition.DetectLabels=1, rekognition.DetectLabels=2",
            "'rekognition.DetectLabels' is named twice",
        ),
        ("MEDIAQ_LIMITS__SHARE", "1.1", "must be at least 0.1 and at most 1"),
        ("MEDIAQ_SERVICE__PROT", "80", "there is no such setting"),
        ("MEDIAQ_SERVICE_PORT", "80", "there is no such setting"),
        ("MEDIAQ_CONFIG", "missing.toml", "names missing.toml, and there is no such file"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_with_variable_and_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert name in str(refused.value)
    assert reason in str(refused.value)


def test_a_worker_is_not_dead_before_it_had_to_give_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAQ_WORKER__BEAT", "6")
    with pytest.raises(SettingsError, match=r"worker\.dead_after must be at least three times worker\.beat"):
        load_settings()
    monkeypatch.setenv("MEDIAQ_WORKER__DEAD_AFTER", "18")
    assert load_settings().worker.dead_after == 18


def test_rekognitions_topic_needs_its_role_and_the_queue_that_it_feeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDIAQ_COMPLETION__TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:ended")
    with pytest.raises(SettingsError, match=r"completion\.topic_arn and completion\.role_arn are needed"):
        load_settings()
    monkeypatch.setenv("MEDIAQ_COMPLETION__ROLE_ARN", "arn:aws:iam::000000000000:role/rekognition")
    with pytest.raises(SettingsError, match=r"completion\.topic_arn needs completion\.queue_url"):
        load_settings()
    monkeypatch.setenv("MEDIAQ_COMPLETION__QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/0/ended")
    assert load_settings().completion.topic_arn.endswith(":ended")


def test_who_may_be_told_by_webhook_needs_a_secret_to_check_by(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().webhooks.enabled
    monkeypatch.setenv("MEDIAQ_WEBHOOKS__HOSTS", '["hooks.example.com", "*.example.org", "10.0.0.1"]')
    with pytest.raises(SettingsError, match=r"webhooks\.internal_hosts need webhooks\.secret"):
        load_settings()
    monkeypatch.setenv("MEDIAQ_WEBHOOKS__SECRET", f"whsec_{'A' * 32}")
    assert load_settings().webhooks.enabled


def test_every_bad_value_is_named_at_once(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAQ_LOGS__LEVEL", "LOUD")
    with pytest.raises(SettingsError, match=r"service\.port.*; .*MEDIAQ_LOGS__LEVEL"):
        load_settings(file("[service]\nport = -1"))


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no UTF-8", "missing"])
def test_a_named_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"other\.toml: "):
        load_settings(path)


@pytest.mark.parametrize(
    ("url", "as_shown"),
    [
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://ann:s3cret@host/mediaq", "postgresql://ann:***@host/mediaq"),
        ("postgresql://ann:s3@cret@host/mediaq", "postgresql://ann:***@host/mediaq"),
        ("postgresql://host/mediaq?user=ann&password=s3cret&x=1", "postgresql://host/mediaq?user=ann&password=***&x=1"),
        ("postgresql://127.0.0.1:5432/mediaq", "postgresql://127.0.0.1:5432/mediaq"),
        ("http://[s3", "http://[s3"),
    ],
)  # fmt: skip
def test_a_urls_password_is_shown_as_stars(url: str, as_shown: str) -> None:
    assert mask(url) == as_shown


def test_no_secret_is_in_what_is_shown_or_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@host")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:s3cret@host/mediaq")
    secret = "s3cret, and long enough for HS256"
    monkeypatch.setenv("MEDIAQ_AUTH__SECRET", secret)
    monkeypatch.setenv("MEDIAQ_EMBEDDING__OPENAI_KEY", "s3cret")
    settings = load_settings()
    assert str(settings.auth.secret) == secret
    assert "s3cret" not in repr(settings)
    values = {key: value for key, value, _ in shown(settings)}
    assert values["auth.secret"] == values["embedding.openai_key"] == "***"
    assert not any("s3cret" in value for value in values.values())
