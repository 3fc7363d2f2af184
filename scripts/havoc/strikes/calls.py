"""Calls that the stand-in spoils: by an error, a delay, a cut connection, or a job that ends FAILED."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from uuid import uuid4

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
    await ground.ask_standin("POST", "faults", json={**rule, "seconds": fault.seconds})
    began = time.time()
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
        left = await _left(ground, rule)
    if left:
        await ground.ask_standin("DELETE", f"faults/{rule}")
    return left


async def _left(ground: Ground, rule: str) -> int:
    rules = (await ground.ask_standin("GET", "faults")).json()["faults"]
    return next((int(one["times"]) for one in rules if one["id"] == rule), 0)
