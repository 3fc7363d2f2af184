"""Fixtures: the environment that programs of other processes join a test's servers by."""

import os

import pytest

from mediaq.settings import Settings


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """What `stack.json` has under `env`, for the test's own servers."""
    return {
        **os.environ,
        "RQ_REDIS_URL": settings.redis.url,
        "RQ_DASHBOARD_REDIS_URL": settings.redis.url,
        "MEDIAQ_QUEUES__IMAGE_PROCESSING__BACKOFF": "1",
        # What a killed worker has called is called again when this is over.
        "MEDIAQ_AWS__CALL_TIMEOUT": "4",
    }
