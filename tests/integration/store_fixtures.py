"""Fixture: a store on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest

from mediaq.settings import Database
from mediaq.store.pool import Store, open_store


@pytest.fixture
async def store(migrated_url: str) -> AsyncIterator[Store]:
    async with open_store(Database(url=migrated_url, pool_size=8)) as opened:
        yield opened
