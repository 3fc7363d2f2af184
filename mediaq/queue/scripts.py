"""The Lua scripts beside this file, by name."""

from __future__ import annotations

from importlib import resources

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, name: str) -> AsyncScript:
    """Returns `lua/NAME.lua`, ready to be called on that server."""
    return redis.register_script((resources.files("mediaq.queue") / "lua" / f"{name}.lua").read_text())
