"""`mediaq up`: the stack as a whole, and with a short list of processes."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from supervised import alive, recorded, until

from mediaq.embedded import valkey
from mediaq.embedded.kept import PortTakenError
from mediaq.embedded.lock import FolderInUseError
from mediaq.embedded.plan import Site, StackInfo, processes
from mediaq.embedded.processes import Process
from mediaq.embedded.stack import run_stack


def only_valkey(site: Site, info: StackInfo) -> list[list[Process]]:
    return [[process for process in processes(site, info)[0] if process.name == "valkey"]]


@asynccontextmanager
async def up(data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediaq.cli", "up", "--no-worker", "--data", str(data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_stack_json_says_how_to_join_while_the_stack_runs(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        assert file.stat().st_mode & 0o777 == 0o600
        written = json.loads(file.read_text())
        assert StackInfo(**written) == info
        assert set(written["env"]) == {
            "REDIS_URL", "RQ_REDIS_URL", "RQ_DASHBOARD_REDIS_URL", "DATABASE_URL",
            "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
            "MEDIAQ_API_URL", "MEDIAQ_AUTH__COOKIE_SECURE", "MEDIAQ_AUTH__SECRET", "MEDIAQ_AWS__BUCKET",
            "MEDIAQ_COMPLETION__QUEUE_URL", "MEDIAQ_COMPLETION__TOPIC_ARN", "MEDIAQ_COMPLETION__ROLE_ARN",
            "MEDIAQ_SERVICE__HOST", "MEDIAQ_SERVICE__PORT",
        }  # fmt: skip
        assert await valkey.accepting(written["env"]["REDIS_URL"])
    assert not file.exists()


async def test_tokens_are_signed_with_the_secret_and_last_for_30_days(tmp_path: Path) -> None:
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        secret = info.env["MEDIAQ_AUTH__SECRET"]
        claims = {name: jwt.decode(token, secret, ["HS256"]) for name, token in info.tokens.items()}
    assert {name: (claim["sub"], claim.get("admin")) for name, claim in claims.items()} == {
        "user": ("user-1", None),
        "other": ("user-2", None),
        "admin": ("admin-1", True),
    }
    left = datetime.fromtimestamp(claims["user"]["exp"], UTC) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


async def test_a_restart_keeps_addresses_and_secrets(tmp_path: Path) -> None:
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        before = info
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        assert info.env == before.env
    for name in ("secrets.json", "ports.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        before = info
    with socket.create_server(("127.0.0.1", int(before.env["MEDIAQ_SERVICE__PORT"]))):
        async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
            assert info.api_url != before.api_url
            assert info.redis_url == before.redis_url


async def test_the_port_asked_for_is_the_apis_or_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"Port {port} "):
            async with run_stack(tmp_path, port=port, plan=only_valkey):
                pass
    async with run_stack(tmp_path, port=port, plan=only_valkey) as info:
        assert info.api_url == f"http://127.0.0.1:{port}"


async def test_a_second_stack_on_the_folder_is_refused_and_breaks_nothing(tmp_path: Path) -> None:
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        with pytest.raises(FolderInUseError) as refusal:
            async with run_stack(tmp_path, port=None, plan=only_valkey):
                pass
        assert info.api_url in str(refusal.value)
        assert await valkey.accepting(info.redis_url)
        assert (tmp_path / "stack.json").exists()


async def test_the_lock_file_of_a_killed_stack_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("a stack runs at http://127.0.0.1:1 (process 1, since ever)\n")
    async with run_stack(tmp_path, port=None, plan=only_valkey) as info:
        assert await valkey.accepting(info.redis_url)


async def test_the_developers_own_aws_account_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", "http://example.invalid")
    dump = tmp_path / "environment.json"
    code = f"import json, os; json.dump(dict(os.environ), open({str(dump)!r}, 'w'))"

    def plan(_site: Site, info: StackInfo) -> list[list[Process]]:
        return [[Process("dump", [sys.executable, "-c", code], env=info.env, once=True)]]

    async with run_stack(tmp_path, port=None, plan=plan) as info:
        seen = json.loads(dump.read_text())
    assert {name: value for name, value in seen.items() if name.startswith("AWS_")} == {
        name: value for name, value in info.env.items() if name.startswith("AWS_")
    }


async def test_up_runs_the_whole_stack_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    async with up(tmp_path) as running:
        await until((tmp_path / "stack.json").exists)
        info = StackInfo(**json.loads((tmp_path / "stack.json").read_text()))
        pids = recorded(tmp_path)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{info.api_url}/readyz")).is_success

        async with up(tmp_path) as second:
            said, _ = await second.communicate()
        assert second.returncode == 1
        what_runs = f"{tmp_path} is in use: a stack runs at {info.api_url} (process {running.pid}, since "
        assert what_runs in said.decode()

        running.send_signal(signal.SIGINT)
        said, _ = await running.communicate()
    assert running.returncode == 0
    assert info.api_url in said.decode()
    assert not any(map(alive, pids))
    assert not (tmp_path / "stack.json").exists()


async def test_sigterm_while_the_stack_starts_leaves_no_process(tmp_path: Path) -> None:
    async with up(tmp_path) as running:
        await until((tmp_path / "processes.json").exists)
        running.send_signal(signal.SIGTERM)
        await running.communicate()
    assert running.returncode == 0
    pids = recorded(tmp_path)
    assert pids
    assert not any(map(alive, pids))
    assert not (tmp_path / "stack.json").exists()
