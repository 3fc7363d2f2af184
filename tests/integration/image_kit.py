"""Conversions that run in this process's children."""

import asyncio

import psutil

from mediaq.pipelines.converter import PROGRAM


def conversions() -> list[psutil.Process]:
    """The conversions that run."""
    return [child for child in psutil.Process().children() if PROGRAM in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def begun() -> psutil.Process:
    """A conversion, once it runs."""
    async with asyncio.timeout(20):
        while not (found := conversions()):  # noqa: ASYNC110 - the system has no event for it
            await asyncio.sleep(0.002)
    return found[0]
