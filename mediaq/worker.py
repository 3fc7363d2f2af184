"""The worker as mediaq's settings describe it, for `mediaq worker` and `rq worker -w mediaq.AsyncWorker`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import Any

from loguru import logger
from redis import Redis
from redis.exceptions import RedisError

from mediaq.errors import MediaqError, SettingsError
from mediaq.queue import worker
from mediaq.queue.functions import Functions
from mediaq.queue.kept import kept
from mediaq.queue.options import Options
from mediaq.settings import Queues, Settings, load_settings

# Seconds beyond the grace period that a worker has to hand its jobs back.
LAST_WORDS = 5.0


class AsyncWorker(worker.AsyncWorker):
    """Runs many jobs at once, as the settings say.

    Args:
        queues: Queues or their names.
        args: RQ's further arguments, in RQ's order.
        options: Instead of the settings'.
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
        prepare_for_work: bool = True,
        **kwargs: Any,
    ) -> None:
        if options is None and prepare_for_work:
            options = read_options(load_settings())
        super().__init__(queues, *args, options=options, prepare_for_work=prepare_for_work, **kwargs)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Looks after open and deleted jobs meanwhile, where the worker serves any of mediaq's own queues."""
        if not set(self.queue_names()) & set(Queues().names()):
            yield
            return
        # Postgres and AWS are for mediaq's own jobs: whoever has others needs neither.
        from mediaq.tasks import KEPT_AS, open_for_jobs
        from mediaq.upkeep import erasing, reconciling

        async with kept(KEPT_AS, open_for_jobs) as resources, reconciling(resources), erasing(resources):
            self.may_claim = resources.may_claim
            yield


@contextmanager
def working(settings: Settings) -> Iterator[None]:
    """Runs a worker for all of mediaq's queues in a thread, with a loop of its own, while the block runs.

    Args:
        settings: The settings.

    Raises:
        MediaqError: Redis cannot be used.
    """
    try:
        options = read_options(settings)
        redis = Redis.from_url(settings.redis.url)
        worker = AsyncWorker(settings.queues.names(), connection=redis, options=options)
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
