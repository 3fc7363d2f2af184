"""Daemon threads for plain functions: kept for the next one, and never waited for at the end of a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from attrs import define, field


@define(eq=False)
class _Errand:
    act: Callable[[], Any]
    context: Context
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    ended: Callable[[], None]


@define(eq=False)
class Threads:
    """Runs plain functions beside the event loop, each in a thread of its own while it runs.

    The standard library's pools wait for their threads when the interpreter ends; a job that hangs would then
    hold up the end of the worker for ever.
    """

    _idle: list[SimpleQueue[_Errand | None]] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self, act: Callable[[], Any], ended: Callable[[], None] = lambda: None) -> asyncio.Future[Any]:
        """Runs a function in the context of the caller.

        Args:
            act: The function.
            ended: Called on the loop when the function has returned, also where nobody waits for it any more.

        Returns:
            What it returns or raises. Cancelling it gives up waiting; the thread goes on to the end.
        """
        loop = asyncio.get_running_loop()
        errand = _Errand(act, copy_context(), loop, loop.create_future(), ended)
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), daemon=True, name="mediaq-job").start()
        inbox.put(errand)
        return errand.answer

    def close(self) -> None:
        """Lets idle threads end."""
        with self._lock:
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _serve(self, inbox: SimpleQueue[_Errand | None]) -> None:
        while errand := inbox.get():
            outcome = _attempt(errand)
            try:
                errand.loop.call_soon_threadsafe(_report, errand, *outcome)
            except RuntimeError:
                # The loop has closed: the worker is at its end.
                return
            del errand, outcome
            with self._lock:
                self._idle.append(inbox)


def _attempt(errand: _Errand) -> tuple[Any, BaseException | None]:
    try:
        return errand.context.run(errand.act), None
    except BaseException as error:  # noqa: BLE001 - whatever a job raises is its outcome
        return None, error


def _report(errand: _Errand, value: Any, error: BaseException | None) -> None:
    if not errand.answer.done():
        if error is None:
            errand.answer.set_result(value)
        else:
            errand.answer.set_exception(_raisable(error))
    errand.ended()


def _raisable(error: BaseException) -> BaseException:
    # Both mean something else to whoever awaits a future: the one it refuses, the other would close it.
    if isinstance(error, StopIteration | GeneratorExit):
        raised = RuntimeError(f"the function raised {type(error).__name__}")
        raised.__cause__ = error
        return raised
    return error
