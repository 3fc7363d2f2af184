"""mediaq: media analysis jobs on plain RQ queues."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mediaq.queue.parking import waiting
    from mediaq.queue.queue import Queue
    from mediaq.worker import AsyncWorker

__all__ = ["AsyncWorker", "Queue", "waiting"]

# Imported when they are first asked for: a producer needs neither the worker nor what it needs.
_MODULES = {"AsyncWorker": "mediaq.worker", "Queue": "mediaq.queue.queue", "waiting": "mediaq.queue.parking"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
