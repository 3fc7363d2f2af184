"""Processes that own a job one after the other; each dies, freezes or gives up at a turn of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, Literal

from attrs import frozen
from loguru import logger

from mediaq.errors import MediaqError
from mediaq.model import Announcement
from mediaq.pipelines import metered
from mediaq.pipelines.catalog import PIPELINES
from mediaq.pipelines.runner import run_job
from mediaq.resources import open_resources
from mediaq.settings import load_settings
from mediaq.store import pool, writer

# Seconds that a call may take, and for which its record is good (see `metered`): short, so that others need
# not wait for long until a call that is never answered may be repeated.
CALL_TIMEOUT, FRESH = 1.0, 0.3
# Likewise, for how long a frozen one may hold its locks, between statements and within one.
SILENCE, PATIENCE = 1.0, 3.0
SETTINGS = {
    "MEDIAQ_AWS__CALL_TIMEOUT": str(CALL_TIMEOUT),
    "MEDIAQ_AWS__FIRST_WAIT": "0.01",
    "MEDIAQ_AWS__LONGEST_WAIT": "0.1",
    "MEDIAQ_WORKER__LEASE": "1",
}

What = Literal["kill", "freeze", "cancel"]


@frozen
class Fate:
    """What becomes of a process.

    Args:
        what: `kill` is kill -9, `freeze` is SIGSTOP, `cancel` cuts the job short as a deploy does.
        step: At which turn of its event loop, counted from the start of the job: any await may be the last.
    """

    what: What
    step: int

    def meet(self, job: asyncio.Task[Any]) -> None:
        match self.what:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "cancel":
                job.cancel()


class FatedLoop(asyncio.SelectorEventLoop):
    """An event loop that counts its turns, and meets a fate at one of them.

    Args:
        fate: What comes; None: nothing.
        told: Hears of it just before.
    """

    def __init__(self, fate: Fate | None, told: Connection) -> None:
        super().__init__()
        self.job: asyncio.Task[Any] | None = None
        self.steps = 0
        self._fate = fate
        self._told = told

    def _run_once(self) -> None:
        if self.job is not None:
            if self._fate is not None and self.steps == self._fate.step and not self.job.done():
                self._told.send("met")
                self._fate.meet(self.job)
            self.steps += 1
        super()._run_once()  # type: ignore[misc]


def own(environment: Mapping[str, str], queue: str, job_id: str, fate: Fate | None, told: Connection) -> None:
    """Runs a job in this process; tells what came of it, unless it dies before."""
    os.environ.update(environment)
    logger.remove()
    metered.FRESH, pool.SILENCE, writer.PATIENCE = FRESH, SILENCE, PATIENCE
    loop = FatedLoop(fate, told)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        told.send(("ended", runner.run(_run(loop, queue, job_id)), loop.steps))


async def _run(loop: FatedLoop, queue: str, job_id: str) -> str:
    async def announce(told: Announcement) -> None:
        """Nobody listens."""

    async with open_resources(load_settings()) as resources:
        loop.job = asyncio.create_task(run_job(resources.tools, PIPELINES[queue], job_id, announce))
        try:
            await loop.job
        except asyncio.CancelledError:
            return "cancelled"
        except MediaqError as error:
            return type(error).__name__
    return "completed"


_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["mediaq.resources", "mediaq.pipelines.runner", "aioboto3", "asyncpg"])


class Owner:
    """One such process.

    Args:
        environment: Leads it to its servers.
        queue: The job's type.
        job_id: The job.
        fate: What becomes of it.
    """

    def __init__(self, environment: Mapping[str, str], queue: str, job_id: str, fate: Fate | None) -> None:
        self.fate = fate
        self.steps = 0
        self.outcome: str | None = None
        self._hears, told = _forking.Pipe(duplex=False)
        self._process = _forking.Process(
            target=own, args=(dict(environment), queue, job_id, fate, told), daemon=True
        )
        self._process.start()
        told.close()

    async def until_met(self) -> None:
        """Waits until it has met its fate, or has ended without."""
        await asyncio.to_thread(self._hear)

    async def until_ended(self) -> None:
        """Lets it go on, if it is frozen, and waits for its end."""
        if self._process.exitcode is None:
            self.thaw()
        while self.outcome is None:
            await self.until_met()
        await asyncio.to_thread(self._process.join)

    def thaw(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._hears.close()

    def _hear(self) -> None:
        try:
            match self._hears.recv():
                case ("ended", outcome, steps):
                    self.outcome, self.steps = outcome, steps
        except EOFError:
            self.outcome = "died"
