"""The jobs as plain functions, for libraries that are made for these."""

import time

from bench.jobs import NAP
from bench.stamps import write_stamp


def noop() -> int:
    """Do nothing; return something, so that there is a result to keep."""
    return 1


def nap() -> int:
    """Wait as a job does that asks another service."""
    time.sleep(NAP)
    return 1


def stamp(sent: float) -> int:
    """Record how long ago the job was sent."""
    write_stamp(sent)
    return 1
