"""Workers and services that are killed, frozen or asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil

from havoc.actor import Actor
from havoc.faults import Blow, Fault, NoEffectError
from havoc.ground import Ground
from mediaq.embedded import leftovers


async def kill(ground: Ground, fault: Fault) -> Blow:
    """Kill a process with what it forked; its supervisor starts it again."""
    actor = ground.crew.actors[fault.target]
    pid = await actor.running()
    children = await asyncio.to_thread(leftovers.descendants, pid)
    struck = time.time()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(leftovers.kill, children)
    new = await actor.replaced(pid)
    forked = f" and {len(children)} forked by it" if children else ""
    return Blow(
        struck, struck, f"process {pid}{forked} killed, {new} runs after {time.time() - struck:.1f} s"
    )


async def freeze(ground: Ground, fault: Fault) -> Blow:
    """Stop a process, and what it forked, in its tracks for a while.

    Raises:
        NoEffectError: It was not seen to stand still.
    """
    actor = ground.crew.actors[fault.target]
    pid = await actor.running()
    tree = [psutil.Process(pid), *await asyncio.to_thread(leftovers.descendants, pid)]
    struck = time.time()
    _signal(tree, signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.seconds)
        still = [process for process in tree if _stands_still(process)]
    finally:
        _signal(tree, signal.SIGCONT)
    if not still:
        raise NoEffectError(f"process {pid} was not stopped")
    return Blow(struck, time.time(), f"process {pid} stood still for {time.time() - struck:.1f} s")


async def deploy(ground: Ground, fault: Fault) -> Blow:
    """Ask workers to stop, all at once; their supervisor starts them again."""
    actors = [ground.crew.actors[target] for target in fault.targets]
    struck = time.time()
    took = await asyncio.gather(*(_stop(actor) for actor in actors))
    longest, last = max(zip(took, fault.targets, strict=True))
    return Blow(struck, struck + longest, f"all ended, {last} last, after {longest:.1f} s")


async def _stop(actor: Actor) -> float:
    pid = await actor.running()
    since = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    await actor.ended(pid)
    took = time.monotonic() - since
    await actor.replaced(pid)
    return took


def _signal(tree: list[psutil.Process], signum: signal.Signals) -> None:
    for process in tree:
        if leftovers.alive(process):
            process.send_signal(signum)


def _stands_still(process: psutil.Process) -> bool:
    return leftovers.alive(process) and bool(process.status() == psutil.STATUS_STOPPED)
