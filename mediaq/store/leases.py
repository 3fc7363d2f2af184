"""Leases in Postgres: tasks that one process at a time does."""

from __future__ import annotations

import os
import socket

from mediaq.store.pool import Store


def name_owner() -> str:
    """Returns the name under which this process holds jobs and leases: its host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def hold(store: Store, name: str, owner: str, seconds: float) -> bool:
    """Takes or renews a lease for some seconds; tells whether it is held now."""
    held = await store.queries.hold_lease(store.pool, name=name, owner=owner, seconds=seconds)
    return held is not None


async def drop(store: Store, name: str, owner: str) -> None:
    """Lets the next one have it at once."""
    await store.queries.drop_lease(store.pool, name=name, owner=owner)
