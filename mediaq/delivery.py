"""Tells ends of jobs by webhook: what is due on record is sent, by whichever process comes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import msgspec
from attrs import frozen
from loguru import logger

from mediaq.errors import NotAdmitted, Undelivered, reason_of
from mediaq.model import job_path
from mediaq.pipelines.webhook import find_receiver
from mediaq.posting import Answer, Message, find_addresses, open_transport, post
from mediaq.queue.backoff import Backoff
from mediaq.queue.cancelling import cancel
from mediaq.resources import Resources
from mediaq.settings import Webhooks
from mediaq.store import deliveries
from mediaq.store.deliveries import Delivery, State
from mediaq.store.pool import AWAY

# What a process sends at once: to each receiver, and in all.
EACH, ALL = 4, 100
# Share by which waits are lengthened at random.
JITTER = 0.2
# Seconds beyond its timeout after which a delivery that nobody has ended is another process's.
MARGIN = 10.0
# Seconds that what is being sent has to end in when the process stops; else another sends it again.
FAREWELL = 1.0

_ENCODER = msgspec.json.Encoder(decimal_format="number")


@frozen
class Outcome:
    """What has become of sending a delivery.

    Args:
        state: Where it stands.
        error: Why it was not delivered.
        wait: Seconds until it is sent again, where it is pending.
    """

    state: State
    error: str | None = None
    wait: float = 0.0


class Deliverer:
    """Sends what is due, to several receivers at once; to each in lanes, which take one delivery at a time.

    A receiver that does not take what it is sent has a single lane until it does: however slow it is, and
    however much it is to be told, it holds up no other.

    Args:
        resources: Store, settings and telemetry.
        transport: As of `mediaq.posting.open_transport`.
    """

    def __init__(self, resources: Resources, transport: httpx.AsyncBaseTransport) -> None:
        self._store = resources.store
        self._settings = resources.settings.webhooks
        self._meters = resources.telemetry.meters
        self._transport = transport
        self._lanes: dict[asyncio.Task[None], str] = {}
        self._troubled: set[str] = set()
        self._closing = False

    async def look(self) -> None:
        """Opens lanes for what is due.

        Raises:
            OSError, asyncpg.PostgresError: Postgres is away.
        """
        waiting = await deliveries.due(self._store, EACH)
        # The second lane of any receiver comes after the first of every other.
        for number in range(EACH):
            for receiver, count in waiting.items():
                if number < count and self._has_room(receiver, number):
                    self._open_lane(receiver)

    async def close(self) -> None:
        """Lets what is being sent end, for a moment."""
        self._closing = True
        if self._lanes:
            _, late = await asyncio.wait([*self._lanes], timeout=FAREWELL)
            await cancel(late)

    def _has_room(self, receiver: str, number: int) -> bool:
        most = 1 if receiver in self._troubled else EACH
        has = sum(other == receiver for other in self._lanes.values())
        return has <= number < most and len(self._lanes) < ALL

    def _open_lane(self, receiver: str) -> None:
        lane = asyncio.create_task(self._serve(receiver))
        self._lanes[lane] = receiver
        lane.add_done_callback(self._lanes.pop)

    async def _serve(self, receiver: str) -> None:
        """Sends what a receiver is to be told, one after the other, until all is, or one is not taken."""
        lease = self._settings.timeout + MARGIN
        try:
            while not self._closing and (found := await deliveries.claim(self._store, receiver, lease)):
                outcome = await self._deliver(found)
                await deliveries.end(self._store, found, outcome.state, outcome.error, outcome.wait)
                if outcome.state is not State.DELIVERED:
                    self._troubled.add(receiver)
                    return
                self._troubled.discard(receiver)
        except AWAY as error:
            logger.warning("telling {} waits: {}", receiver, reason_of(error))
        except Exception:  # noqa: BLE001 - a fault in one lane must not end the others
            logger.exception("telling {} failed", receiver)

    async def _deliver(self, delivery: Delivery) -> Outcome:
        started = time.perf_counter()
        try:
            outcome = judge(delivery, await send(self._transport, delivery, self._settings), self._settings)
        except (Undelivered, NotAdmitted) as error:
            outcome = put_off(delivery, str(error), self._settings)
        self._meters.webhook_ended(outcome.state, time.perf_counter() - started)
        if outcome.state is State.FAILED:
            logger.warning(
                "the end of job {} is given up to be told, after {} times: {}",
                delivery.job_id,
                delivery.attempts,
                outcome.error,
            )
        return outcome


@asynccontextmanager
async def open_deliverer(resources: Resources) -> AsyncIterator[Deliverer]:
    """Yields who sends; what it is sending when the block ends has a moment to end."""
    async with open_transport() as transport:
        deliverer = Deliverer(resources, transport)
        try:
            yield deliverer
        finally:
            await deliverer.close()


async def send(transport: httpx.AsyncBaseTransport, delivery: Delivery, settings: Webhooks) -> Answer:
    """Sends a delivery, within the timeout.

    Raises:
        NotAdmitted: The settings do not list its receiver, or not any more.
        Undelivered: It cannot be reached, or does not answer in time.
    """
    receiver = find_receiver(delivery.url, settings)
    secrets = [str(secret) for secret in (settings.secret, settings.former_secret) if secret]
    message = Message(delivery.id, write_body(delivery))
    try:
        async with asyncio.timeout(settings.timeout):
            addresses = await find_addresses(receiver.host, receiver.port, internal=receiver.internal)
            return await post(transport, delivery.url, addresses, message, secrets)
    except TimeoutError:
        raise Undelivered(f"no answer within {settings.timeout:g} s") from None


def write_body(delivery: Delivery) -> bytes:
    """Returns what is told: the last event of the job, and beside it what Standard Webhooks 1.0 advises."""
    content = {
        "type": f"job.{delivery.status}",
        "timestamp": delivery.finished_at.isoformat(),
        "id": delivery.job_id,
        "jobType": delivery.type,
        "status": delivery.status,
        "mediaItemId": delivery.media_item_id,
        "returnvalue": delivery.result,
        "returnvalueLeftOut": delivery.result_left_out,
        "failedReason": delivery.failed_reason,
        "attemptsMade": delivery.attempts_made,
        "cost": delivery.cost,
        "finishedOn": round(delivery.finished_at.timestamp() * 1000),
        "links": {"self": job_path(delivery.type, delivery.job_id)},
    }
    return _ENCODER.encode(content)


def judge(delivery: Delivery, answer: Answer, settings: Webhooks) -> Outcome:
    """Returns what an answer means, by Standard Webhooks 1.0: 2xx is success, 410 says never again."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(State.DELIVERED)
    reason = f"answered {answer.status}"
    if answer.status == HTTPStatus.GONE:
        return Outcome(State.FAILED, reason)
    return put_off(delivery, reason, settings, least=min(answer.retry_after, settings.longest_wait))


def put_off(delivery: Delivery, reason: str, settings: Webhooks, least: float = 0.0) -> Outcome:
    """Returns when a delivery that was not taken is sent again, if it is.

    Args:
        delivery: The delivery.
        reason: Why it was not taken.
        settings: The waits.
        least: Seconds that its receiver wants to be left alone for.
    """
    backoff = Backoff(settings.first_wait, settings.longest_wait, JITTER)
    wait = max(backoff.intervals(delivery.attempts)[-1], least)
    if time.time() + wait > delivery.finished_at.timestamp() + settings.patience:
        return Outcome(State.FAILED, reason)
    return Outcome(State.PENDING, reason, wait)
