"""A process as data, and a child: that process while a supervisor runs it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen
from loguru import logger

from mediaq.embedded import leftovers

_POLL = 0.03
_TAIL_LINES = 25
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


@frozen
class Process:
    """A program to run.

    Args:
        name: Its name in messages; its output goes to `logs/NAME.log`.
        command: Program and arguments.
        env: Its variables besides those that the supervisor gives every child.
        ready: Tells whether the program is up; None where nobody needs to know.
        once: It ends by itself, with status 0, before anything after it starts. All others are started again
            when they end.
        stop_signal: What asks it to end.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    once: bool = False
    stop_signal: signal.Signals = signal.SIGTERM


class ProcessFailedError(Exception):
    """A process did not come up; the message holds the end of its log."""


class Child:
    """Runs one process in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Args:
        process: What to run.
        folder: The supervisor's folder: for `logs/` and as the mark in the child's environment.
        environment: The variables that every child gets.
        started: Called after each start, with `record` renewed.
    """

    def __init__(
        self, process: Process, folder: Path, environment: Mapping[str, str], started: Callable[[], None]
    ) -> None:
        self.process = process
        self.record: leftovers.Started | None = None
        self._environment = {
            **environment,
            "PYTHONUNBUFFERED": "1",
            **process.env,
            leftovers.MARK: str(folder),
        }
        self._log = folder / "logs" / f"{process.name}.log"
        self._started = started
        self._running: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the program; None while it does not run."""
        running = self._running
        return running.pid if running is not None and running.returncode is None else None

    async def start(self, *, patience: float) -> None:
        """Start the program and return when it is ready, or has ended where it runs once.

        Raises:
            ProcessFailedError: It ended early, or was not ready after `patience` seconds.
        """
        if self._running is None:
            self._log.write_bytes(b"")
        running = await self._spawn()
        try:
            async with asyncio.timeout(patience):
                await self._until_ready(running)
        except TimeoutError:
            raise self._failure(f"was not ready after {patience:g} s") from None
        if not self.process.once:
            self._keeper = asyncio.create_task(self._keep(running))

    async def stop(self, *, grace: float) -> None:
        """Ask the program to end; after `grace` seconds kill it and what is left of its descendants."""
        running = await self._let_go()
        if running is None:
            return
        tree = await asyncio.to_thread(leftovers.descendants, running.pid)
        with suppress(ProcessLookupError):  # it ended just now
            running.send_signal(self.process.stop_signal)
        try:
            await asyncio.wait_for(running.wait(), grace)
        except TimeoutError:
            await _kill(running)
        await asyncio.to_thread(leftovers.kill, tree)

    async def kill(self) -> None:
        """Kill the program and its descendants, as a loss of power does; it stays away until `start`."""
        running = await self._let_go()
        if running is None:
            return
        tree = await asyncio.to_thread(leftovers.descendants, running.pid)
        await _kill(running)
        await asyncio.to_thread(leftovers.kill, tree)

    async def _let_go(self) -> asyncio.subprocess.Process | None:
        """Start the program no more when it ends; return its process, or None where it has ended."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        running = self._running
        return running if running is not None and running.returncode is None else None

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            try:
                running = await asyncio.create_subprocess_exec(
                    *self.process.command,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessFailedError(f"{self.process.name} could not be started: {error}") from error
        self._running = running
        self.record = leftovers.observe(self.process.name, running.pid, self.process.stop_signal)
        self._started()
        return running

    async def _until_ready(self, running: asyncio.subprocess.Process) -> None:
        if self.process.once:
            if await running.wait():
                raise self._failure(f"ended with status {running.returncode}")
            return
        while self.process.ready and not await self.process.ready():
            if running.returncode is not None:
                raise self._failure(f"ended with status {running.returncode} before it was ready")
            await asyncio.sleep(_POLL)

    async def _keep(self, running: asyncio.subprocess.Process) -> None:
        """Start the program again whenever it ends, after a pause that grows while it ends at once."""
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while True:
            started = clock()
            status = await running.wait()
            pause = _FIRST_PAUSE if clock() - started > _LONGEST_PAUSE else min(pause * 2, _LONGEST_PAUSE)
            logger.warning(
                "{} ended with status {}; starting it again in {:g} s (its log: {})",
                self.process.name,
                status,
                pause,
                self._log,
            )
            await asyncio.sleep(pause)
            try:
                running = await self._spawn()
            except ProcessFailedError as error:
                logger.error("{}", error)

    def _failure(self, what: str) -> ProcessFailedError:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        tail = "".join(f"\n    {line}" for line in lines) or " is empty"
        return ProcessFailedError(f"{self.process.name} {what}. The end of {self._log}:{tail}")


async def _kill(running: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        running.kill()
    await running.wait()
