"""Several processes of one command: started, started again when they die, and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from attrs import frozen
from loguru import logger

if TYPE_CHECKING:
    from mediaq.telemetry.crew import Crew

# Seconds before a process that died is started again; doubles while it lives no longer than the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


@frozen
class Bond:
    """What ties one of several processes of a command to the others.

    Args:
        lifeline: A pipe that closes when the process that started them is gone.
        crew: The processes.
        listener: Where all of them listen; None: nowhere.
    """

    lifeline: int
    crew: Crew
    listener: socket.socket | None

    def end_with_parent(self) -> None:
        """Asks this process to stop when its parent is gone, which alone holds the other end of the pipe."""
        os.set_inheritable(self.lifeline, False)

        def wait() -> None:
            os.read(self.lifeline, 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="lifeline", daemon=True).start()


def bond_option(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the option by which its processes are started; None where it is the only one."""
    return click.option("--bond", callback=_read_bond, hidden=True)(command)


def _read_bond(ctx: click.Context, param: click.Parameter, given: str | None) -> Bond | None:
    if given is None:
        return None
    # Imported here: a worker that is alone does without.
    from mediaq.telemetry.crew import Crew

    try:
        lifeline, listener, place = given.split(":", 2)
        listening = socket.socket(fileno=int(listener)) if listener else None
        return Bond(int(lifeline), Crew(Path(place).parent, Path(place).name), listening)
    except (ValueError, OSError) as error:
        raise click.BadParameter(f"it is for mediaq's own use: {error}", ctx, param) from None


async def run_processes(
    command: Sequence[str], count: int, *, restart: bool, listener: socket.socket | None = None
) -> int:
    """Runs a command several times over, side by side, until all have ended.

    SIGTERM and SIGINT are passed on as SIGTERM, each time they come. If this process is killed, the others
    learn it by the pipe that their option `--bond` names.

    Args:
        command: Program and arguments, of a command that has `bond_option`.
        count: How many processes.
        restart: Whether one that ends with another status than 0 is started again, after a growing pause. One
            that ends with 0 was told to, by RQ's `shutdown` for instance, and stays away.
        listener: A socket at which all of them listen: what one that dies has not accepted, another does. It
            is closed when they are asked to stop, so that who comes then is refused at once.

    Returns:
        The exit status: 0 if every process ended well, 1 if one did not. Where they are started again, what
        counts is how they end once they are asked to stop.
    """
    lifeline, held = os.pipe()
    # It is this user's alone.
    with TemporaryDirectory(prefix="mediaq-") as folder:
        keeper = _Keeper(command, Path(folder), lifeline, listener, restart=restart)
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, keeper.stop)
        try:
            async with asyncio.TaskGroup() as group:
                kept = [group.create_task(keeper.keep(number)) for number in range(1, count + 1)]
        finally:
            os.close(lifeline)
            os.close(held)
    return 0 if all(task.result() for task in kept) else 1


class _Keeper:
    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        lifeline: int,
        listener: socket.socket | None,
        *,
        restart: bool,
    ) -> None:
        self._command = command
        self._folder = folder
        self._lifeline = lifeline
        self._listener = listener
        self._restart = restart
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Passes a signal on."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.close()
        for process in self._running:
            _terminate(process)

    async def keep(self, number: int) -> bool:
        """Keeps one process running; tells whether it ended well."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = clock()
            status = await self._run(number)
            if status == 0 or not self._restart or self._stopping.is_set():
                # It may not have come as far as to look out for signals.
                return status == 0 or (self._stopping.is_set() and status == -signal.SIGTERM)
            if clock() - started > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            logger.error("process {} {}; starting it again in {:g} s", number, _describe(status), pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return True

    async def _run(self, number: int) -> int:
        shared = [] if self._listener is None else [self._listener.fileno()]
        bond = f"{self._lifeline}:{''.join(map(str, shared))}:{self._folder / str(number)}"
        # In a group of its own: a terminal's Ctrl-C reaches this process alone, which passes it on.
        try:
            process = await asyncio.create_subprocess_exec(
                *(*self._command, "--bond", bond), pass_fds=[self._lifeline, *shared], process_group=0
            )
        except OSError as error:
            logger.error("a process cannot be started: {}", error)
            return 1
        self._running.add(process)
        if self._stopping.is_set():
            _terminate(process)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)


def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)


def _describe(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
