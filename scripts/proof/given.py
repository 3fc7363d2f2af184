"""What processes are told by environment variables."""

import os

# Where stock RQ's tools look, too.
URL_VARIABLE = "RQ_REDIS_URL"


def url() -> str:
    """Return the URL of the Redis server."""
    return os.environ[URL_VARIABLE]
