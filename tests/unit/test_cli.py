"""The command line: a mistake is one line; what a command does not need is not imported."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import jwt
import psutil
import pytest

from mediaq.cli import COMMANDS, cli, main
from mediaq.settings import SHARED_NAMES

# What the service, the pipelines and the store need, and a worker that runs other functions does not.
HEAVY = {"aioboto3", "asyncpg", "av", "boto3", "botocore", "httpx", "msgspec", "rich", "starlette", "uvicorn"}
# MB.
MOST_MEMORY = 45


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("MEDIAQ_") or name in SHARED_NAMES:
            monkeypatch.delenv(name)


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Types a command that ends at once; returns its exit status, its output, and what it complains of."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mediaq", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def imported(script: str) -> tuple[set[str], float]:
    """Runs a script in a fresh interpreter; returns what is imported then, and its resident memory in MB."""
    script += "\nimport json, sys; print(json.dumps([*sys.modules]), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        modules = json.loads(process.stdout.readline())
        memory = psutil.Process(process.pid).memory_info().rss / 2**20
        process.communicate()
    return {name.split(".")[0] for name in modules}, memory


def test_every_command_is_where_it_is_said_to_be() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert isinstance(command, click.Command)
        assert command.name == name
    assert cli.list_commands(context) == sorted(COMMANDS)


def test_the_help_lists_every_command(say: Say) -> None:
    status, output, _ = say("--help")
    assert status == 0
    listed = [line.split()[0] for line in output.partition("Commands:")[2].splitlines() if line]
    assert listed == sorted(COMMANDS)


def test_a_command_that_there_is_not_is_a_mistake(say: Say) -> None:
    status, _, complaint = say("wrok")
    assert status == 2
    assert "No such command 'wrok'" in complaint


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MEDIAQ_WORKER__FUNCTIONS", '["shop"]', "worker.functions: 'shop' allows no function: package.modu"),
        ("MEDIAQ_WORKER__FUNCTIONS", "shop.*", "from environment variable MEDIAQ_WORKER__FUNCTIONS: "),
        ("MEDIAQ_CONCURRENCY", "shop", "from environment variable MEDIAQ_CONCURRENCY: "),
        ("MEDIAQ_WORKER__GRACE", "-1", "from environment variable MEDIAQ_WORKER__GRACE: "),
        ("REDIS_URL", "127.0.0.1:1", "redis.url: Redis URL must specify one of the following schemes"),
    ],
)  # fmt: skip
def test_a_bad_setting_of_a_worker_is_one_line(
    say: Say, monkeypatch: pytest.MonkeyPatch, processes: str, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    status, output, complaint = say("worker", "--processes", processes)
    assert (status, output) == (1, "")
    assert complaint.startswith("mediaq: ")
    assert reason in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("queue", ["", "a,b", "a=", "a=0", "=1", "a=1,b=2"])
def test_what_is_no_queue_is_refused(say: Say, queue: str) -> None:
    status, _, complaint = say("worker", "-q", queue)
    assert status == 2
    assert "Invalid value for '-q' / '--queue'" in complaint


@pytest.mark.parametrize(
    "script",
    [
        "import mediaq",
        "from mediaq.worker import AsyncWorker",
        "import mediaq.cli, click; mediaq.cli.cli.get_command(click.Context(mediaq.cli.cli), 'worker')",
    ],
)
def test_a_worker_imports_nothing_that_it_does_not_need(script: str) -> None:
    modules, megabytes = imported(script)
    assert modules & HEAVY == set()
    assert megabytes < MOST_MEMORY


def test_a_job_of_mediaqs_own_imports_what_a_worker_does_not() -> None:
    """Shows that the names above are the right ones."""
    assert imported("import mediaq.tasks")[0] >= HEAVY - {"aioboto3", "boto3", "rich", "starlette", "uvicorn"}


def test_a_token_carries_what_is_asked_for_where_the_settings_name_the_claims(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a secret of at least thirty-two bytes"
    monkeypatch.setenv("MEDIAQ_AUTH__SECRET", secret)
    status, _, complaint = say("token", "ann", "--cost-center", "cc-1")
    assert (status, "MEDIAQ_AUTH__COST_CENTERS_CLAIM" in complaint) == (1, True)
    monkeypatch.setenv("MEDIAQ_AUTH__ADMIN_CLAIM", "org.roles.admin")
    monkeypatch.setenv("MEDIAQ_AUTH__COST_CENTERS_CLAIM", "org.centres")
    status, token, _ = say("token", "ann", "--admin", "--cost-center", "cc-1", "--cost-center", "cc-2")
    claims = jwt.decode(token.strip(), secret, ["HS256"])
    assert (status, claims["sub"]) == (0, "ann")
    assert claims["org"] == {"roles": {"admin": True}, "centres": ["cc-1", "cc-2"]}
