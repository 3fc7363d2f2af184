"""How long a film may be, as far as a request tells: what an estimate goes by before the film is probed."""

from __future__ import annotations

from math import ceil

from mediaq.pipelines.operation import Request
from mediaq.settings import Settings


def told_ms(request: Request, settings: Settings, longest_ms: int) -> int:
    """Returns the milliseconds that a film is assumed to last.

    Args:
        request: Its `duration` counts, in seconds.
        settings: What is assumed without one.
        longest_ms: What the provider takes at most: a longer film is refused before it is called.
    """
    seconds = request.get("duration")
    assumed = settings.budgets.video_seconds if seconds is None else seconds
    # 12.345 s are 12,345 ms, although their product is a little more.
    return ceil(round(min(assumed * 1000, longest_ms), 6))
