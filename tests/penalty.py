"""RQ's timeouts for its workers in the tests' threads."""

from typing import Any

from rq.timeouts import JobTimeoutException, TimerDeathPenalty


class Penalty(TimerDeathPenalty):
    """RQ's timeout without signals; RQ's own rewrites its exception's text for all of the process."""

    def __init__(self, timeout: int, exception: type[Exception] = JobTimeoutException, **kwargs: Any) -> None:
        own = type(exception.__name__, (exception,), {"__module__": exception.__module__})
        super().__init__(timeout, own, **kwargs)  # type: ignore[no-untyped-call]
