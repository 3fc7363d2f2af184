"""What Prometheus reads of the service: its own numbers, and those of the queues and the ledger."""

from __future__ import annotations

import asyncio
import hmac
from http import HTTPStatus

import attrs
from loguru import logger
from prometheus_client.core import Metric
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from mediaq.errors import reason_of
from mediaq.queue.queue import Queue
from mediaq.resources import Resources
from mediaq.service.problems import Problem
from mediaq.settings import Service
from mediaq.store import costs
from mediaq.store.pool import AWAY as POSTGRES_AWAY
from mediaq.telemetry.crew import Crew
from mediaq.telemetry.families import CONTENT_TYPE, write_page
from mediaq.telemetry.meters import gauge

# Seconds a server may take to answer; the page is written without it then.
PATIENCE = 2.0
# Seconds of which the ledger's sums are, and after which they are read again.
RECENT, READ_EVERY = 3600.0, 30.0

LEDGER = ("service", "operation", "certainty")


class Standing:
    """How the queues and the ledger stand: numbers that are nobody's own, whatever workers there are.

    Args:
        resources: Queues and store.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._ledger: list[Metric] = []
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> list[Metric]:
        """Returns the numbers that can be had now; and of each server whether they could."""
        queues, ledger = await asyncio.gather(self._read_queues(), self._read_ledger())
        there = [(("redis",), float(queues is not None)), (("postgres",), float(ledger is not None))]
        up = gauge("server_up", "Whether a server answered.", ("server",), there)
        return [up, *(queues or ()), *(ledger or ())]

    async def _read_queues(self) -> list[Metric] | None:
        named = self._resources.queues
        try:
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.gather(*(_look(queue) for queue in named.values()))
        except (RedisError, OSError) as error:
            logger.warning("metrics lack the queues: {}", reason_of(error))
            return None
        jobs = [
            ((name, state), float(count))
            for name, (counts, _) in zip(named, found, strict=True)
            for state, count in counts.items()
        ]
        ages = [((name,), age) for name, (_, age) in zip(named, found, strict=True)]
        return [
            gauge("queue_jobs", "Jobs in Redis.", ("queue", "state"), jobs),
            gauge("queue_oldest_seconds", "Seconds that the oldest waiting job waits.", ("queue",), ages),
        ]

    async def _read_ledger(self) -> list[Metric] | None:
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if clock() - self._read_at < READ_EVERY:
                return self._ledger
            try:
                rows = await costs.recent(self._resources.store, RECENT, PATIENCE)
            except POSTGRES_AWAY as error:
                logger.warning("metrics lack the ledger: {}", reason_of(error))
                return None
            named = [(tuple(str(row[label]) for label in LEDGER), row) for row in rows]
            self._ledger = [
                gauge(
                    "ledger_dollars",
                    "Dollars on record of calls begun within the last hour, by whatever workers.",
                    LEDGER,
                    [(labels, float(row["amount"])) for labels, row in named],
                ),
                gauge(
                    "ledger_calls",
                    "Calls on record that were begun within the last hour, by whatever workers.",
                    LEDGER,
                    [(labels, float(row["calls"])) for labels, row in named],
                ),
            ]
            self._read_at = clock()
            return self._ledger


async def _look(queue: Queue) -> tuple[dict[str, int], float]:
    counts, age = await asyncio.gather(queue.counts(), queue.age())
    return attrs.asdict(counts), age


async def get_metrics(request: Request) -> Response:
    """Shows the numbers of the service, of all its processes, in Prometheus's text format.

    Raises:
        Problem: 401 or 403 where the caller may not read them.
    """
    state = request.app.state
    await _check(request, state.resources.settings.service)
    standing, own = await asyncio.gather(
        state.standing.read(), asyncio.to_thread(_read_own, state.resources, state.crew)
    )
    return Response(write_page([*own, *standing]), headers={"Content-Type": CONTENT_TYPE})


async def _check(request: Request, settings: Service) -> None:
    if settings.metrics_public:
        return
    given = request.headers.get("Authorization", "").encode()
    if settings.metrics_token and hmac.compare_digest(given, f"Bearer {settings.metrics_token}".encode()):
        return
    if not (await request.app.state.authenticator.caller(request)).admin:
        raise Problem(
            HTTPStatus.FORBIDDEN, "metrics are for admins, and for the bearer of service.metrics_token"
        )


def _read_own(resources: Resources, crew: Crew | None) -> list[Metric]:
    return list(resources.telemetry.meters.registry.collect()) if crew is None else crew.ask()
