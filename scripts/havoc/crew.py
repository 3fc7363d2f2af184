"""Who takes part: the embedded stack with two services, AsyncWorkers and a stock worker."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from havoc.actor import Actor
from mediaq.embedded import ports
from mediaq.embedded.kept import keep_ports, keep_secrets
from mediaq.embedded.plan import Site, StackInfo, describe, processes
from mediaq.embedded.processes import Process
from mediaq.embedded.supervisor import Supervisor
from mediaq.settings import Queues

SERVERS = ("valkey", "postgres", "s3", "standin")
SERVICES = ("serve-1", "serve-2")
STOCK = "stock"
_DEFAULTS = Path(__file__).parents[2] / "config.toml"
# How long an asynchronous job is queued, and at least in progress: so that faults meet some that run.
_STATE_SECONDS = "1.5"
_FOREIGN = ("AWS_", "MEDIAQ_", "RQ_")

# Short waits, so that a run ends within minutes, and few slots, so that jobs queue. Leases, and timeouts of
# servers, are the defaults.
_SETTINGS: Mapping[str, str] = {
    "MEDIAQ_CONFIG": str(_DEFAULTS),
    "MEDIAQ_CONCURRENCY": "image-processing=2,video-processing=1,text-analysis=2,embedding-generation=2",
    "MEDIAQ_AWS__CALL_TIMEOUT": "5",
    "MEDIAQ_AWS__FIRST_POLL": "0.3",
    "MEDIAQ_AWS__LONGEST_POLL": "2",
    "MEDIAQ_AWS__LONGEST_WAIT": "3",
    "MEDIAQ_UPKEEP__INTERVAL": "2",
    "MEDIAQ_UPKEEP__LOST_AFTER": "15",
}


@frozen
class Roster:
    """The names of the processes, by what they are.

    Args:
        workers: The AsyncWorkers.
    """

    workers: tuple[str, ...]

    @classmethod
    def of(cls, workers: int) -> Roster:
        """Return the names where there are so many AsyncWorkers."""
        return cls(tuple(f"worker-{number}" for number in range(1, workers + 1)))

    @property
    def all_workers(self) -> tuple[str, ...]:
        """The workers of both kinds."""
        return (*self.workers, STOCK)

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The processes that a fault may strike, by role."""
        return {
            "worker": self.workers,
            "stock": (STOCK,),
            "any worker": self.all_workers,
            "service": SERVICES,
            **{server: (server,) for server in SERVERS},
        }


@frozen
class Crew:
    """The processes of a run.

    Args:
        info: How the stack is reached.
        services: The addresses of the services.
        actors: The processes by name.
        data: The folder of the servers' data.
    """

    info: StackInfo
    services: tuple[str, ...]
    actors: Mapping[str, Actor]
    data: Path


@asynccontextmanager
async def running_crew(data: Path, roster: Roster, deaths: int) -> AsyncIterator[Crew]:
    """Run all processes while the block runs; should this process be killed, they end too.

    Args:
        data: An empty folder for the servers' data, with the processes' output in `logs`.
        roster: Who takes part.
        deaths: How many workers a job may outlive.

    Raises:
        ProcessFailedError: A process did not come up.
    """
    site = Site(data, keep_secrets(data), keep_ports(data, api=None))
    info = describe(site)
    second = ports.free_port()
    environment = {**_own_variables(), **_SETTINGS, "MEDIAQ_WORKER__DEATHS": str(deaths)}
    async with Supervisor(data, environment=environment) as supervisor:
        servers, [standin, migrate], [serve, worker] = processes(site, info)
        slow = evolve(standin, command=[*standin.command, "--seconds-per-state", _STATE_SECONDS])
        for layer in [servers, [slow, migrate], [*_services(serve, second), *_workers(worker, roster)]]:
            await supervisor.start(layer)
        names = (*SERVERS, *SERVICES, *roster.all_workers)
        actors = {name: Actor(supervisor.child(name)) for name in names}
        yield Crew(info, (info.api_url, _address(second)), actors, data)


def _own_variables() -> dict[str, str]:
    """Return this process's variables without those that would steer mediaq, RQ or AWS's SDK."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def _services(serve: Process, port: int) -> list[Process]:
    first, second = SERVICES
    ready = partial(ports.answering, f"{_address(port)}/readyz")
    moved = {**serve.env, "MEDIAQ_SERVICE__PORT": str(port)}
    return [evolve(serve, name=first), evolve(serve, name=second, env=moved, ready=ready)]


def _workers(worker: Process, roster: Roster) -> list[Process]:
    stock = [sys.executable, "-m", "rq.cli", "worker", *Queues.names()]
    return [
        *(evolve(worker, name=name) for name in roster.workers),
        evolve(worker, name=STOCK, command=stock),
    ]


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
