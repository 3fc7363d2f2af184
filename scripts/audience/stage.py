"""Valkey, Postgres and one process of the service, with their default settings, for as long as it takes."""

import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jwt
import psutil
from anyio.from_thread import start_blocking_portal
from attrs import frozen

from mediaq.embedded import ports, postgres, valkey
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor

USER = "user-1"
_PASSWORD = "audience"  # noqa: S105 -- guards nothing: the servers live for minutes, on 127.0.0.1
_DATABASE = "mediaq"
_AN_HOUR = 3600
_MIB = 1 << 20


@frozen
class Stage:
    """What is measured.

    Args:
        port: Where the service listens.
        token: The user's.
        env: What joins another process to it.
        service: The process.
    """

    port: int
    token: str
    env: Mapping[str, str]
    service: psutil.Process

    def resident(self) -> float:
        """Return the memory of the service in MiB."""
        return self.service.memory_info().rss / _MIB

    def cpu(self) -> float:
        """Return the seconds of CPU that the service has used."""
        times = self.service.cpu_times()
        return times.user + times.system


@contextmanager
def running(folder: Path) -> Iterator[Stage]:
    """Run it while the block runs."""
    redis_port, postgres_port, api_port = ports.free_ports(3)
    secret = secrets.token_hex(32)
    env = {
        "REDIS_URL": valkey.url(port=redis_port, password=_PASSWORD),
        "DATABASE_URL": postgres.url(port=postgres_port, password=_PASSWORD, database=_DATABASE),
        "MEDIAQ_AUTH__SECRET": secret,
        "MEDIAQ_SERVICE__PORT": str(api_port),
        # The jobs stand in no queue, which nobody is to mend.
        "MEDIAQ_UPKEEP__INTERVAL": str(_AN_HOUR),
    }
    servers = [
        valkey.process(folder / "valkey", port=redis_port, password=_PASSWORD, settings=valkey.THROWAWAY),
        postgres.process(
            folder / "postgres",
            port=postgres_port,
            password=_PASSWORD,
            database=_DATABASE,
            settings=postgres.THROWAWAY,
        ),
    ]
    ready = partial(ports.answering, f"http://127.0.0.1:{api_port}/readyz")
    layers = [servers, [_mediaq("migrate", env, once=True)], [_mediaq("serve", env, ready=ready)]]
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Supervisor(folder)) as supervisor,
    ):
        for layer in layers:
            portal.call(supervisor.start, layer)
        pid = supervisor.child("serve").pid
        token = jwt.encode({"sub": USER, "exp": time.time() + _AN_HOUR}, secret, "HS256")
        yield Stage(api_port, token, env, psutil.Process(pid))


def _mediaq(name: str, env: Mapping[str, str], **how: object) -> Process:
    return Process(name, [sys.executable, "-m", "mediaq.cli", name], env=env, **how)
