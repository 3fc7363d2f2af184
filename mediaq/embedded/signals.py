"""Signals that ask a program to end, as the cancellation of a task."""

import asyncio
import signal
from typing import Any


def cancel_on_signals(task: asyncio.Task[Any]) -> None:
    """Cancel the task at the first SIGINT, SIGTERM or SIGHUP; later ones must not interrupt its cleaning up.

    Args:
        task: A task of the running loop.
    """

    def cancel() -> None:
        if not task.cancelling():
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, cancel)
