"""Several processes of one command: started, started again when they die, and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from loguru import logger

# Seconds before a process that died is started again; doubles while it lives no longer than the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


async def run_processes(command: Sequence[str], count: int, *, restart: bool) -> int:
    """Runs a command several times over, side by side, until all have ended.

    SIGTERM and SIGINT are passed on as SIGTERM, each time they come. If this process is killed, the others
    learn it by the pipe that their option `--lifeline` names.

    Args:
        command: Program and arguments; `--lifeline` is added.
        count: How many processes.
        restart: Whether one that ends with another status than 0 is started again, after a growing pause. One
            that ends with 0 was told to, by RQ's `shutdown` for instance, and stays away.

    Returns:
        The exit status: 0 if every process ended well, 1 if one did not. Where they are started again, what
        counts is how they end once they are asked to stop.
    """
    lifeline, held = os.pipe()
    crew = _Crew([*command, "--lifeline", str(lifeline)], lifeline, restart=restart)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, crew.stop)
    try:
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(crew.keep(number)) for number in range(1, count + 1)]
    finally:
        os.close(lifeline)
        os.close(held)
    return 0 if all(task.result() for task in kept) else 1


class _Crew:
    def __init__(self, command: Sequence[str], lifeline: int, *, restart: bool) -> None:
        self._command = command
        self._lifeline = lifeline
        self._restart = restart
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Passes a signal on."""
        self._stopping.set()
        for process in self._running:
            _terminate(process)

    async def keep(self, number: int) -> bool:
        """Keeps one process running; tells whether it ended well."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = clock()
            status = await self._run()
            if status == 0 or not self._restart or self._stopping.is_set():
                # It may not have come as far as to look out for signals.
                return status == 0 or (self._stopping.is_set() and status == -signal.SIGTERM)
            if clock() - started > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            logger.error(
                "worker process {} {}; starting it again in {:g} s", number, _describe(status), pause
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return True

    async def _run(self) -> int:
        # In a group of its own: a terminal's Ctrl-C reaches this process alone, which passes it on.
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, pass_fds=[self._lifeline], process_group=0
            )
        except OSError as error:
            logger.error("a worker process cannot be started: {}", error)
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
