"""The worker as mediaq's settings describe it, for `mediaq worker` and `rq worker -w mediaq.AsyncWorker`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from threading import Thread
from typing import TYPE_CHECKING, Any

from loguru import logger
from redis import Redis
from redis.exceptions import RedisError

from mediaq.errors import MediaqError, SettingsError
from mediaq.queue import worker
from mediaq.queue.functions import Functions
from mediaq.queue.kept import kept
from mediaq.queue.options import Options
from mediaq.settings import Queues, Settings, load_settings
from mediaq.settings import Worker as WorkerSettings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from mediaq.telemetry.meters import Value
    from mediaq.telemetry.telemetry import Telemetry

# Shows what is in a registry while its block runs.
Show = Callable[["CollectorRegistry"], AbstractContextManager[None]]

# Seconds beyond the grace period that a worker has to hand its jobs back.
LAST_WORDS = 5.0


class AsyncWorker(worker.AsyncWorker):
    """Runs many jobs at once, as the settings say.

    Args:
        queues: Queues or their names.
        args: RQ's further arguments, in RQ's order.
        options: Instead of the settings'.
        show: Shows the worker's numbers while it works; by default as the settings say.
        telemetry: Told of what it does; by default one of its own.
        prepare_for_work: Whether it is made to work; those through which RQ's tools look at a worker need no
            settings.
        kwargs: RQ's further arguments by name.

    Raises:
        SettingsError: A setting is unknown or bad.
    """

    def __init__(
        self,
        queues: Any,
        *args: Any,
        options: Options | None = None,
        show: Show | None = None,
        telemetry: Telemetry | None = None,
        prepare_for_work: bool = True,
        **kwargs: Any,
    ) -> None:
        if options is None and prepare_for_work:
            settings = load_settings()
            options, show = read_options(settings), show or show_as_set(settings.worker)
        self._show = show
        self._telemetry = telemetry
        super().__init__(queues, *args, options=options, prepare_for_work=prepare_for_work, **kwargs)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Looks after jobs, open, deleted or ended, where the worker serves any of mediaq's queues."""
        has_ours = bool(set(self.queue_names()) & set(Queues().names()))
        async with self._telling() if has_ours or self._show else nullcontext():
            if not has_ours:
                yield
                return
            # Postgres and AWS are for mediaq's own jobs: whoever has others needs neither.
            from mediaq.tasks import KEPT_AS, open_for_jobs
            from mediaq.upkeep import delivering, erasing, reconciling

            async with (
                kept(KEPT_AS, open_for_jobs) as resources,
                reconciling(resources),
                erasing(resources),
                delivering(resources),
            ):
                self.may_claim = resources.may_claim
                yield

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Counts what the worker does, and shows it."""
        # Imported here: a producer, and RQ's tools, look at workers without it.
        from mediaq.telemetry.telemetry import KEPT_AS, open_as_set

        opened = self._telemetry
        async with kept(KEPT_AS, open_as_set if opened is None else lambda: nullcontext(opened)) as telemetry:
            meters = telemetry.meters
            self.observer = meters
            with (
                meters.showing("worker_slots", "Slots, parked jobs aside.", ("queue", "state"), self._slots),
                meters.showing("worker_parked", "Jobs that wait, parked.", ("queue",), self._parked),
                self._show(meters.registry) if self._show else nullcontext(),
            ):
                yield

    def _slots(self) -> Iterator[Value]:
        for lane in self.lanes():
            yield (lane.queue, "used"), lane.taken
            yield (lane.queue, "free"), max(lane.slots - lane.taken, 0)

    def _parked(self) -> Iterator[Value]:
        for lane in self.lanes():
            yield (lane.queue,), lane.parked


@contextmanager
def working(settings: Settings, show: Show | None = None) -> Iterator[None]:
    """Runs a worker for all of mediaq's queues in a thread, with a loop of its own, while the block runs.

    Args:
        settings: The settings.
        show: Shows the worker's numbers.

    Raises:
        MediaqError: Redis cannot be used.
    """
    try:
        options = read_options(settings)
        redis = Redis.from_url(settings.redis.url)
        worker = AsyncWorker(settings.queues.names(), connection=redis, options=options, show=show)
    except RedisError as error:
        raise MediaqError(f"Redis cannot be used: {error}") from error

    def work() -> None:
        try:
            worker.work()
        except Exception:  # noqa: BLE001 - a thread that ends unheard would leave a service without a worker
            logger.exception("the worker beside the service has ended; no jobs are run")

    thread = Thread(target=work, name="worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.request_stop()
        thread.join(options.grace + LAST_WORDS)


def show_as_set(settings: WorkerSettings) -> Show | None:
    """Returns what shows a worker's numbers on a port of its own, if the settings name one."""
    if not settings.metrics_port:
        return None

    @contextmanager
    def show(registry: CollectorRegistry) -> Iterator[None]:
        from mediaq.sockets import listen
        from mediaq.telemetry.page import showing_own

        try:
            listener = listen(settings.metrics_host, settings.metrics_port, "worker.metrics_port")
        except SettingsError as error:
            # Jobs are more than their numbers, and another worker of this machine may have the port.
            logger.error("no metrics are shown: {}", error)
            yield
            return
        with showing_own(listener, registry):
            yield

    return show


def read_options(settings: Settings) -> Options:
    """Returns what the settings say of a worker.

    Raises:
        SettingsError: A pattern of allowed functions is none.
    """
    told = settings.worker
    try:
        Functions(told.functions)
    except ValueError as error:
        raise SettingsError(f"worker.functions: {error}") from None
    return Options(
        functions=told.functions,
        concurrency=settings.concurrency(),
        default_concurrency=told.default_concurrency,
        parked=told.parked,
        grace=told.grace,
        lease=told.dead_after,
        beat=told.beat,
        deaths=told.deaths,
        keep_finished={
            name: settings.queues.named(name).keep_completed_count for name in settings.queues.names()
        },
        webhook_hosts=told.webhook_hosts,
        lag=told.lag,
    )
