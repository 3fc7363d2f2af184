"""A web app as the services' caller: repeats a request with the same key until it is accepted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from itertools import count
from typing import Any

import httpx
from attrs import field, frozen

from havoc.orders import Order

# Seconds a request may take, and between two tries of the same one.
TIMEOUT = 5.0
PAUSE = 0.5
# Seconds after which an accepted request is sent again, as by a browser that did not see the answer.
AGAIN_AFTER = 2.0
# What a caller repeats a request after: nothing was accepted, or nobody knows.
NOT_NOW = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
# Uploads side by side.
UPLOADS = 8


@frozen
class Answers:
    """What the services answered.

    Args:
        jobs: The ids that each accepted request was answered with, by the number of its order.
        counts: How often a request ended how: with a status, or the name of an error of the connection.
        complaints: Answers other than these and 202.
    """

    jobs: dict[int, list[str]] = field(factory=dict)
    counts: Counter[str] = field(factory=Counter)
    complaints: list[str] = field(factory=list)


@frozen
class WebApp:
    """Asks for jobs, by turns of one service and the other.

    Args:
        http: A client with the user's token.
        services: The addresses of the services.
        answers: What they answered so far.
    """

    http: httpx.AsyncClient
    services: Sequence[str]
    answers: Answers = field(factory=Answers)

    async def send(self, order: Order) -> None:
        """Ask for a job until it is accepted or refused for good; some are asked for again."""
        for _ in range(1 + order.repeated):
            job = await self._ask(order)
            if job is None:
                return
            self.answers.jobs.setdefault(order.number, []).append(job)
            await asyncio.sleep(AGAIN_AFTER if order.repeated else 0)

    async def queues(self) -> list[dict[str, Any]]:
        """Return the queues with their counts of jobs, as the first service shows them.

        Raises:
            httpx.HTTPError: It does not.
        """
        answer = await self.http.get(f"{self.services[0]}/api/queues", timeout=TIMEOUT)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["queues"]
        return found

    async def _ask(self, order: Order) -> str | None:
        for number in count(order.number):
            answer = await self._post(self.services[number % len(self.services)], order)
            if answer is not None and answer.status_code == HTTPStatus.ACCEPTED:
                return str(answer.json()["id"])
            if answer is not None and answer.status_code not in NOT_NOW:
                self.answers.complaints.append(f"{answer.status_code} {answer.text[:200]}")
            if answer is not None and answer.is_client_error:
                return None
            await asyncio.sleep(PAUSE)
        raise AssertionError("numbers do not end")

    async def _post(self, service: str, order: Order) -> httpx.Response | None:
        headers = {"Idempotency-Key": order.key}
        url = f"{service}/api/queues/{order.queue}"
        try:
            answer = await self.http.post(url, json=order.body, headers=headers, timeout=TIMEOUT)
        except httpx.TransportError as error:
            self.answers.counts[type(error).__name__] += 1
            return None
        self.answers.counts[str(answer.status_code)] += 1
        return answer


async def upload(bucket_url: str, orders: Sequence[Order]) -> None:
    """Put the orders' media into S3.

    Raises:
        httpx.HTTPError: S3 does not take them.
    """
    room = asyncio.Semaphore(UPLOADS)

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http, asyncio.TaskGroup() as group:

        async def put(order: Order) -> None:
            async with room:
                answer = await http.put(f"{bucket_url}/{order.body['s3Key']}", content=order.upload)
            answer.raise_for_status()

        for order in orders:
            if order.upload is not None:
                group.create_task(put(order))
