"""Calls that the stand-in spoils: by an error, a delay, a cut connection, or a job that ends FAILED."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any
from uuid import uuid4

import httpx

from havoc.faults import Blow, Fault, NoEffectError, Strike
from havoc.ground import Ground

# Seconds after which a fault that has spoilt some calls is taken back, though it was to spoil more.
LONG_ENOUGH = 15.0
_POLL = 0.1


def spoil(kind: str, operation: str = "*") -> Strike:
    """Return what spoils the next calls.

    Args:
        kind: The stand-in's name for the fault.
        operation: The operation that it concerns; `*` stands for all.
    """
    return partial(_spoil, kind, operation)


async def _spoil(kind: str, operation: str, ground: Ground, fault: Fault) -> Blow:
    rule = {"id": uuid4().hex, "operation": operation, "kind": kind, "times": fault.calls}
    began = time.time()
    (await ground.standin.post("faults", json={**rule, "seconds": fault.seconds})).raise_for_status()
    left = await _until_used(ground, str(rule["id"]), fault.calls)
    if left == fault.calls:
        raise NoEffectError("no call came that it could have spoilt")
    by = f" by {fault.seconds:g} s" if kind == "latency" else ""
    return Blow(began, time.time(), f"{fault.calls - left} of {fault.calls} calls spoilt{by}")


async def _until_used(ground: Ground, rule: str, calls: int) -> int:
    """Return how many calls it has left to spoil: none, or some after a while or where no calls come."""
    since = time.monotonic()
    left = calls
    while left and not ground.quiet.is_set() and (left == calls or time.monotonic() - since < LONG_ENOUGH):
        await asyncio.sleep(_POLL)
        left = await _left(ground.standin, rule, left)
    if left:
        (await ground.standin.delete(f"faults/{rule}")).raise_for_status()
    return left


async def _left(standin: httpx.AsyncClient, rule: str, before: int) -> int:
    try:
        found: list[dict[str, Any]] = (await standin.get("faults")).raise_for_status().json()["faults"]
    except httpx.TransportError:  # it is away
        return before
    return next((int(one["times"]) for one in found if one["id"] == rule), 0)
