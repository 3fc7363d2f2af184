"""The Lua scripts beside this file, by name."""

from __future__ import annotations

from functools import cache
from importlib import resources

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, name: str) -> AsyncScript:
    """Returns `lua/NAME.lua`, ready to be called on that server."""
    return redis.register_script(_read(name))


@cache
def _read(name: str) -> str:
    return (resources.files("mediaq.queue") / "lua" / f"{name}.lua").read_text()
