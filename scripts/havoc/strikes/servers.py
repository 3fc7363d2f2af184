"""Servers that die, come back with or without their data, and cut their clients off."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

import httpx

from havoc.faults import Blow, Fault, NoEffectError
from havoc.ground import Ground

_CUT = """
select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()
"""
# Valkey's append-only file, in its data folder.
_REDIS_DATA = "appendonlydir"


async def restart(ground: Ground, fault: Fault) -> Blow:
    """Kill a server and start it again with its data, after a while."""
    actor = ground.crew.actors[fault.target]
    struck = time.time()
    pid = await actor.kill()
    await asyncio.sleep(fault.seconds)
    new = await actor.start()
    return Blow(struck, time.time(), f"process {pid} killed, {new} serves after {time.time() - struck:.1f} s")


async def empty(ground: Ground, fault: Fault) -> Blow:
    """Kill Redis and start it again without its data, after a while."""
    actor = ground.crew.actors[fault.target]
    async with ground.redis() as redis:
        before = await redis.dbsize()
    struck = time.time()
    pid = await actor.kill()
    await asyncio.to_thread(shutil.rmtree, ground.crew.data / fault.target / _REDIS_DATA)
    await asyncio.sleep(fault.seconds)
    new = await actor.start()
    seen = f"process {pid} killed, its {before} keys gone, {new} serves after {time.time() - struck:.1f} s"
    return Blow(struck, time.time(), seen)


async def flush(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Have Redis forget everything.

    Raises:
        NoEffectError: There was nothing to forget.
    """
    async with ground.redis() as redis, redis.pipeline(transaction=True) as pipe:
        pipe.dbsize()
        pipe.flushall()
        pipe.dbsize()
        before, _, after = await pipe.execute()
    if not before > after:
        raise NoEffectError(f"{before} keys before it, {after} after it")
    return _at_once(f"{before} keys before it, {after} after it")


async def cut_redis(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Cut the connections of all clients of Redis.

    Raises:
        NoEffectError: There were none.
    """
    async with ground.redis() as redis:
        return _cut(await redis.client_kill_filter(_type="normal", skipme=True))


async def cut_postgres(ground: Ground, fault: Fault) -> Blow:  # noqa: ARG001 -- the shape of a strike
    """Cut the connections of all clients of Postgres.

    Raises:
        NoEffectError: There were none.
    """
    async with ground.postgres() as connection:
        return _cut(await connection.fetchval(_CUT))


async def restart_standin(ground: Ground, fault: Fault) -> Blow:
    """Kill the stand-in and start it again, after a while; faults that it was told to inject are kept."""
    rules = (await ground.standin.get("faults")).raise_for_status().json()["faults"]
    blow = await restart(ground, fault)
    for rule in rules:
        await _tell(ground.standin, rule)
    return blow


async def _tell(standin: httpx.AsyncClient, rule: Any) -> None:
    (await standin.post("faults", json=rule)).raise_for_status()


def _cut(connections: int) -> Blow:
    if not connections:
        raise NoEffectError("no connections were there to be cut")
    return _at_once(f"{connections} connections cut")


def _at_once(seen: str) -> Blow:
    now = time.time()
    return Blow(now, now, seen)
