"""The embedded Valkey."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from supervised import kill

from mediaq.embedded import ports, valkey
from mediaq.embedded.supervisor import Supervisor

PASSWORD = "a-password_1"


async def test_data_survives_a_kill_and_a_restart(tmp_path: Path) -> None:
    port = ports.free_port()
    server = valkey.process(tmp_path / "valkey", port=port, password=PASSWORD)
    address = valkey.url(port=port, password=PASSWORD)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([server])
        async with Redis.from_url(address) as client:
            await client.set("key", "value")
        await kill(tmp_path)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([server])
        async with Redis.from_url(address) as client:
            assert await client.get("key") == b"value"


async def test_the_password_is_asked_for_and_on_no_command_line(tmp_path: Path) -> None:
    port = ports.free_port()
    server = valkey.process(tmp_path / "valkey", port=port, password=PASSWORD, settings=valkey.THROWAWAY)
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start([server])
        async with Redis.from_url(valkey.url(port=port, password="wrong")) as client:
            with pytest.raises(AuthenticationError):
                await client.ping()
    assert PASSWORD not in " ".join(server.command)
    assert (tmp_path / "valkey" / "valkey.conf").stat().st_mode & 0o777 == 0o600


async def test_a_server_that_is_not_there_is_not_accepting() -> None:
    assert not await valkey.accepting(valkey.url(port=ports.free_port(), password=PASSWORD))
