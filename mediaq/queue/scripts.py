"""The Lua scripts beside this file, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib import resources
from typing import Any

from attrs import frozen
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from mediaq.queue.wire import Part, Wire


@frozen
class Script:
    """A Lua script.

    Args:
        name: What it is called in logs.
        text: Its source.
        sha: What Redis knows it by once it has run.
    """

    name: str
    text: str
    sha: str

    def send(self, wire: Wire, keys: Sequence[Part], args: Sequence[Part]) -> asyncio.Future[Any]:
        """Calls the script on a server that knows it.

        Raises:
            redis.exceptions.NoScriptError: Redis has forgotten it; it has not run.
            redis.exceptions.ResponseError: The script failed.
            redis.exceptions.ConnectionError: The connection is lost; the script may have run.
        """
        return wire.call("EVALSHA", self.sha, len(keys), *keys, *args)

    async def run(self, wire: Wire, keys: Sequence[Part], args: Sequence[Part]) -> Any:
        """Runs the script, in one round trip where Redis knows it.

        Args:
            wire: A connection.
            keys: What the script sees as KEYS.
            args: What it sees as ARGV.

        Raises:
            redis.exceptions.ResponseError: The script failed.
            redis.exceptions.ConnectionError: The connection is lost; the script may have run.
        """
        try:
            return await wire.call("EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            # Redis was restarted, or told to forget its scripts; it has not run.
            return await wire.call("EVAL", self.text, len(keys), *keys, *args)


@cache
def read_script(*names: str) -> Script:
    """Returns `lua/NAME.lua`; of several names, one script of all their texts in that order."""
    folder = resources.files("mediaq.queue") / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    # SHA-1 is how Redis names scripts; nothing rests on its strength.
    return Script("+".join(names), text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def load_script(redis: Redis, *names: str) -> AsyncScript:
    """Returns `read_script(*names)`, ready to be called by a client of redis-py on that server."""
    return redis.register_script(read_script(*names).text)
