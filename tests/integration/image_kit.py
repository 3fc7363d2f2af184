"""Conversions that run in children of this process or of another."""

import asyncio

import psutil

from mediaq.pipelines.converter import PROGRAM


def conversions(parent: int | None = None) -> list[psutil.Process]:
    """The conversions that run for a process, by default for this one."""
    return [child for child in psutil.Process(parent).children() if PROGRAM in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def begun(parent: int | None = None) -> psutil.Process:
    """A conversion, once it runs for a process, by default for this one."""
    async with asyncio.timeout(20):
        while not (found := conversions(parent)):  # noqa: ASYNC110 - the system has no event for it
            await asyncio.sleep(0.002)
    return found[0]
