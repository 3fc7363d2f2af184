"""Servers that die, come back with or without their data, and cut their clients off."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from havoc.actor import Actor
from havoc.faults import Blow, Fault, NoEffectError
from havoc.ground import Ground
from havoc.poll import until

_CUT = """
select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()
"""
# Seconds to wait for something to strike.
PATIENCE = 10.0
# Valkey's append-only file, in its data folder.
_REDIS_DATA = "appendonlydir"


async def restart(ground: Ground, fault: Fault) -> Blow:
    """Kill a server and start it again with its data, after a while."""
    actor = ground.crew.actors[fault.target]
    struck = time.time()
    pid = await actor.kill()
    return await _start(actor, fault, struck, f"process {pid} killed")


async def empty(ground: Ground, fault: Fault) -> Blow:
    """Kill Redis and start it again without its data, after a while."""
    actor = ground.crew.actors[fault.target]
    async with ground.redis() as redis:
        keys = await redis.dbsize()
    struck = time.time()
    pid = await actor.kill()
    await asyncio.to_thread(shutil.rmtree, ground.crew.data / fault.target / _REDIS_DATA)
    return await _start(actor, fault, struck, f"process {pid} killed, its {keys} keys gone")


async def flush(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Have Redis forget everything.

    Raises:
        NoEffectError: There was nothing to forget.
    """

    async def forget() -> int:
        async with ground.redis() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.dbsize()
            pipe.flushall()
            pipe.dbsize()
            before, _, after = await pipe.execute()
        return int(before) - int(after)

    return await _strike(forget, "keys gone")


async def cut_redis(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Cut the connections of all clients of Redis.

    Raises:
        NoEffectError: There were none.
    """

    async def cut() -> int:
        async with ground.redis() as redis:
            return int(await redis.client_kill_filter(_type="normal", skipme=True))

    return await _strike(cut, "connections cut")


async def cut_postgres(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Cut the connections of all clients of Postgres.

    Raises:
        NoEffectError: There were none.
    """

    async def cut() -> int:
        async with ground.postgres() as connection:
            return int(await connection.fetchval(_CUT))

    return await _strike(cut, "connections cut")


async def restart_standin(ground: Ground, fault: Fault) -> Blow:
    """Kill the stand-in and start it again, after a while; faults that it was told to inject are kept."""
    rules = (await ground.standin.get("faults")).raise_for_status().json()["faults"]
    blow = await restart(ground, fault)
    for rule in rules:
        await _tell(ground.standin, rule)
    return blow


async def _start(actor: Actor, fault: Fault, struck: float, seen: str) -> Blow:
    """Start a server that was killed, after a while; at once where the run is being given up."""
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        new = await actor.start()
    over = time.time()
    return Blow(struck, over, f"{seen}, {new} serves after {over - struck:.1f} s")


async def _tell(standin: httpx.AsyncClient, rule: Any) -> None:
    (await standin.post("faults", json=rule)).raise_for_status()


async def _strike(act: Callable[[], Awaitable[int]], what: str) -> Blow:
    """Do something that takes a moment, again while it meets nothing: a server may just have been started."""
    try:
        met = await until(act, most=PATIENCE)
    except TimeoutError:
        raise NoEffectError(f"0 {what} within {PATIENCE:g} s") from None
    now = time.time()
    return Blow(now, now, f"{met} {what}")
