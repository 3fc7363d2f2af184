"""What workers and producers are told by environment variables."""

import os

QUEUE = "bench"
URL_VARIABLE = "BENCH_REDIS_URL"
CONCURRENCY_VARIABLE = "BENCH_CONCURRENCY"


def url() -> str:
    """Return the URL of the Redis server."""
    return os.environ[URL_VARIABLE]


def concurrency() -> int:
    """Return how many jobs the worker may run at once."""
    return int(os.environ[CONCURRENCY_VARIABLE])
